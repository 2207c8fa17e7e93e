"""Loops that are ended from outside while items are under way: no item is left, and none fails."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from playbooks.common.errors import ContractError
from playbooks.document.model import read_document
from playbooks.engine.model.control_messages import CompleteStep, ControlMessage
from playbooks.evaluation.steps import check_output_by_hand
from playbooks.simulation.given import GivenMessage, GivenVote
from playbooks.simulation.outcome import Simulated
from tests.playbooks.building import Document, human, playbook, system
from tests.playbooks.simulating import approve, played, statuses


def looped(number: int, name: str, minutes: int, items: int = 3, **loop: Any) -> Document:
    rules = {"items": list(range(items)), **loop}
    return human(number, name, estimated_duration_minutes=minutes, for_each=rules)


def of_items(simulated: Simulated, key: str, visit: int = 1) -> list[str]:
    """The statuses of a visit's items that were begun, by index."""
    found = {name: item.step.status for (name, number), item in simulated.visits.items() if number == visit}
    return [found[name] for name in sorted(found) if name.startswith(f"{key}[")]


@pytest.mark.parametrize("at_once", [2, 5])
def test_the_run_goes_on_when_a_join_cancels_a_loop(at_once: int) -> None:
    hour = system(2, "Hour", worker_type="timer", config={"duration_minutes": 60}, parallel_group="race")
    document = playbook(
        {**looped(1, "Each", 40, max_concurrency=at_once, items=5), "parallel_group": "race"},
        hour,
        human(3, "Next", join={"mode": "any", "others": "cancel"}),
    )
    done = played(document, approves=True) if at_once == 2 else played(document, votes=_slow("each", 5), approves=True)
    assert (done.ending, done.state.loops) == ("completed", {})
    assert statuses(done) == {"each": "cancelled", "hour": "completed", "next": "completed"}
    assert "cancelled" in of_items(done, "each")
    assert "in_progress" not in of_items(done, "each")
    assert [event.kind for event in done.events if event.kind == "step_failed"] == []


def _slow(key: str, items: int) -> dict[str, list[GivenVote]]:
    return {key: [approve(after=timedelta(minutes=100)) for _ in range(items)]}


def test_items_that_go_on_are_cancelled_when_the_run_goes_back_over_their_loop() -> None:
    votes = {
        "each": [approve(after=timedelta(minutes=minutes)) for minutes in (5, 50, 60, 5, 5, 5)],
        "check": [approve(data={"again": True}), approve(data={"again": False})],
    }
    form = {"type": "object", "required": ["again"], "properties": {"again": {"type": "boolean"}}}
    repeat = {"while": "steps.check.output.again", "max": 3, "from": "each"}
    document = playbook(
        looped(1, "Each", 5, complete_when=1, others="continue"), human(2, "Check", output_contract=form, repeat=repeat)
    )
    done = played(document, votes=votes)
    assert (done.ending, done.ended_at) == ("completed", done.started_at + timedelta(minutes=10))
    assert of_items(done, "each") == ["completed", "cancelled", "cancelled"]
    assert of_items(done, "each", visit=2) == ["completed", "completed", "completed"]


CONTRACT: dict[str, Any] = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("output", "pointer"),
    [
        ({"results": [{"n": 1}, None]}, None),
        ({"results": [{"n": 1}, {"n": "two"}]}, "/output/results/1/n"),
        ({"results": "none"}, "/output/results"),
        ({"n": 1}, "/output/results"),
        (None, "/output/results"),
    ],
)
def test_results_are_checked_one_by_one_when_a_loop_is_completed_by_hand(output: Any, pointer: str | None) -> None:
    loop = system(1, "Each", for_each={"items": [1, 2], "max_concurrency": 1}, output_contract=CONTRACT)
    document = read_document(playbook(loop)).steps[0]
    if pointer is None:
        check_output_by_hand(document, "each", output)
        return
    with pytest.raises(ContractError) as refused:
        check_output_by_hand(document, "each", output)
    assert [problem.pointer for problem in refused.value.problems] == [pointer]


def test_an_item_is_checked_as_one_when_it_is_completed_by_hand() -> None:
    document = read_document(playbook(system(1, "Each", for_each={"items": [1]}, output_contract=CONTRACT))).steps[0]
    check_output_by_hand(document, "each[0]", {"n": 1})
    with pytest.raises(ContractError):
        check_output_by_hand(document, "each[0]", {"results": [{"n": 1}]})


def test_the_loop_is_over_when_it_is_completed_by_hand_in_a_simulation() -> None:
    document = playbook(looped(1, "Each", 40), human(2, "Next", estimated_duration_minutes=5))
    message = ControlMessage(action=CompleteStep(step="each", output={"results": []}))
    messages = (GivenMessage(message=message, after=timedelta(minutes=10), by="anna", roles=("clerk",)),)
    done = played(document, approves=True, messages=messages)
    assert (done.ending, done.ended_at - done.started_at) == ("completed", timedelta(minutes=15))
    assert of_items(done, "each") == ["cancelled", "cancelled", "cancelled"]

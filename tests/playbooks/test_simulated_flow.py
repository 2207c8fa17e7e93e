"""Loops, joins and compensations of small documents, simulated, where no example covers them."""

from __future__ import annotations

from typing import Any

import pytest

from playbooks.engine import activity_inputs
from playbooks.engine.model.state import Request
from playbooks.simulation.outcome import Simulated
from tests.playbooks.building import Document, human, plan_of, playbook, system
from tests.playbooks.simulating import fails, gives, played, statuses
from tests.support.driver import Drive
from tests.support.messages import message_of

UNDO: Document = {"step_type": "system", "worker_type": "data_processor"}


def started(done: Simulated) -> list[str | None]:
    return [event.step for event in done.events if event.kind == "step_started"]


def test_each_item_is_undone_by_itself_when_the_run_is_undone() -> None:
    undo = {**UNDO, "input": {"seat": "${steps.book.output.seat}"}}
    book = system(1, "Book", for_each={"items": ["a", "b"], "max_concurrency": 1}, compensation=undo)
    book |= {"input": {"seat": "${item + '1'}"}}
    done = played(
        playbook(book, system(2, "Pay", on_error={"action": "compensate"})), attempts={"pay": [fails("system")]}
    )
    assert done.ending == "failed"
    assert started(done)[-2:] == ["book!undo[1]", "book!undo[0]"]
    assert "book!undo" not in statuses(done), "the items are all there is to undo"
    assert [done.state.steps[f"book!undo[{index}]"].input for index in (1, 0)] == [{"seat": "b1"}, {"seat": "a1"}]


def test_a_join_gets_what_is_there_when_its_data_is_not_all_completed() -> None:
    both = [{"depends_on": "a", "dependency_type": "data"}]
    both += [{"depends_on": "b", "dependency_type": "data", "mapping": {"b": "${steps.b.output.n}"}}]
    document = playbook(
        system(1, "A", parallel_group="g", config={"output": {"a": 1}}),
        system(2, "B", parallel_group="g", critical=False),
        system(3, "C", dependencies=both, join={"mode": "any"}),
    )
    done = played(document, {"from": "the run"}, attempts={"b": [fails("system")]})
    assert (done.ending, done.state.steps["c"].input) == ("completed", {"from": "the run", "a": 1})


@pytest.mark.parametrize(
    ("when", "completed"),
    [("completed >= 2", 2), ("results.exists(each, each.n == 3)", 3), ("failed > 0 || completed == count", 5), (4, 4)],
)
def test_a_loop_is_over_when_its_condition_holds(when: Any, completed: int) -> None:
    each = {"items": [1, 2, 3, 4, 5], "max_concurrency": 1, "complete_when": when}
    done = played(playbook(system(1, "Count", for_each=each, input={"n": "${item}"})))
    output = done.state.steps["count"].output
    assert isinstance(output, dict)
    assert (done.ending, output["completed"], output["count"]) == ("completed", completed, 5)


def test_only_an_item_is_checked_when_a_loop_is_completed_by_hand() -> None:
    """The contract describes an item's output; the loop's output is made of them."""
    contract = {"type": "object", "required": ["n"]}
    call = {"step_type": "external", "worker_type": "http_request", "config": {"url": "https://a.example"}}
    plan = plan_of(
        playbook(system(1, "Ask", for_each={"items": [1]}, output_contract=contract, **call), human(2, "Look"))
    )
    drive = Drive(plan).begin()
    drive.prepare("ask", items=[1], item_count=1)
    checks: list[bool] = []
    for step in ("ask", "ask[0]", "look"):
        message = message_of("complete_step", step=step, output={})
        request = Request(id="r", message=message, wants_answer=True)
        checks.append(activity_inputs.check_call(plan, drive.state, request).checks_output)
    assert checks == [False, True, False]


def test_a_poll_is_repeated_and_costs_each_time() -> None:
    poll = system(1, "Poll", repeat={"while": "steps.poll.output.state == 'pending'", "max": 9, "delay_seconds": 60})
    answers = [*[gives({"state": "pending"})] * 3, gives({"state": "ready"})]
    done = played(playbook({**poll, "cost": {"unit_amount": 2}}), attempts={"poll": answers})
    assert (done.state.steps["poll"].visit, done.state.cost) == (4, 8)
    assert (done.ended_at - done.started_at).total_seconds() == 180

"""How many runs of one key go on at once: the journeys, with a real worker."""

from __future__ import annotations

import asyncio
import time
from typing import Any
from uuid import uuid4

import pytest

from tests.api.callers import Caller, document
from tests.api.test_request_guard import assert_problem
from tests.api.test_sub_playbooks import book, finished, starting
from tests.support.waiting import eventually

pytestmark = pytest.mark.usefixtures("worker")


def limited(on_limit: str = "queue", max_runs: int = 1, key: str = "${input.customer}", **fields: Any) -> Any:
    concurrency = {"key": key, "max_runs": max_runs, "on_limit": on_limit}
    contract = {"type": "object", "required": ["customer"], "properties": {"customer": {"type": "string"}}}
    made = document(policies={"concurrency": concurrency}, input_contract=contract, **fields)
    return {**made, "steps": [{**step, "step_number": n} for n, step in enumerate(made["steps"][1:], 1)]}


def napping(**policies: Any) -> Any:
    nap = {"name": "Nap", "step_number": 1, "step_type": "system", "worker_type": "timer"}
    return book({**nap, "config": {"duration_seconds": 0.5}}, policies=policies)


async def waits(caller: Caller, execution_id: str) -> Any:
    """The run, once it waits for the concurrency limit."""

    async def found() -> Any:
        data = await caller.run(execution_id)
        return data if data["waiting_for"] == "concurrency" else None

    return await eventually(found)


async def cancel(caller: Caller, execution_id: str) -> None:
    answer = await caller.delete(f"/playbooks/runs/{execution_id}")
    assert answer.status_code in (200, 202), answer.text


async def test_never_more_than_two_go_on_and_all_complete_in_order_when_two_may(author: Caller) -> None:
    playbook_id = await author.published(napping(concurrency={"max_runs": 2}))
    runs = [await author.started(playbook_id) for _ in range(5)]
    ended = [await finished(author, run, 60) for run in runs]
    assert [run["status"] for run in ended] == ["completed"] * 5
    napped = [(run["steps"][0]["started_at"], run["completed_at"]) for run in ended]
    for index, (begun, _) in enumerate(napped):
        assert sum(other <= begun < end for other, end in napped) <= 2
        assert sum(begun < end for _, end in napped[:index]) <= 1, "none goes on before those that were accepted first"
    kinds = [[event["kind"] for event in run["timeline"]] for run in ended]
    assert ["concurrency_awaited" in each for each in kinds][:2] == [False, False]
    assert "concurrency_awaited" in kinds[4]
    assert "concurrency_acquired" in kinds[4]


async def test_a_run_waits_for_its_key_alone_and_shows_it(author: Caller) -> None:
    playbook_id = await author.published(limited())
    first = await author.started(playbook_id, customer="c1")
    second = await author.started(playbook_id, customer="c1")
    other = await author.started(playbook_id, customer="c2")
    await author.open_task(first)
    await author.open_task(other)
    data = await waits(author, second)
    assert (data["status"], data["current_step"]) == ("in_progress", None)
    await cancel(author, first)
    begun = time.monotonic()
    await author.open_task(second)
    assert time.monotonic() - begun < 15, "it is notified, and does not wait for its own timer"
    assert (await author.run(second))["waiting_for"] is None
    await cancel(author, second)
    await cancel(author, other)


async def test_a_run_that_waits_is_cancelled_and_lets_the_next_one_be_next(author: Caller) -> None:
    playbook_id = await author.published(limited())
    runs = [await author.started(playbook_id, customer="c1") for _ in range(3)]
    await author.open_task(runs[0])
    await waits(author, runs[1])
    await waits(author, runs[2])
    await cancel(author, runs[1])
    assert (await finished(author, runs[1]))["status"] == "cancelled"
    assert (await author.run(runs[2]))["waiting_for"] == "concurrency"
    await cancel(author, runs[0])
    await author.open_task(runs[2])
    await cancel(author, runs[2])


async def test_a_start_is_refused_and_nothing_stored_when_the_key_has_no_room(author: Caller) -> None:
    playbook_id = await author.published(limited("reject", 2))
    path, body = f"/playbooks/{playbook_id}/execute", {"input_data": {"customer": "c1"}}
    key = {"Idempotency-Key": uuid4().hex}
    runs = [(await author.post(path, body, headers=key)).json()["data"]["execution_id"]]
    runs.append(await author.started(playbook_id, customer="c1"))
    assert_problem(await author.post(path, body), 409, "DUPLICATE_EXECUTION")
    assert (await author.get(f"/playbooks/runs?playbook_id={playbook_id}")).json()["total"] == 2
    again = await author.post(path, body, headers=key)
    assert (again.status_code, again.json()["data"]["execution_id"]) == (201, runs[0]), "a repeat is no other run"
    await author.started(playbook_id, customer="c2")
    await author.open_task(runs[0])
    await cancel(author, runs[0])
    await finished(author, runs[0])
    again = await author.post(path, body, headers=key)
    assert again.json()["data"]["execution_id"] == runs[0]
    await author.started(playbook_id, customer="c1")


async def test_many_starts_at_once_find_as_many_places_as_there_are(author: Caller) -> None:
    playbook_id = await author.published(limited("reject", 3))
    path, body = f"/playbooks/{playbook_id}/execute", {"input_data": {"customer": "c1"}}
    answers = await asyncio.gather(*(author.post(path, body) for _ in range(10)))
    codes = sorted(answer.status_code for answer in answers)
    assert codes == [201] * 3 + [409] * 7


async def test_the_oldest_is_cancelled_when_the_policy_makes_room_for_the_newest(author: Caller) -> None:
    playbook_id = await author.published(limited("cancel_oldest"))
    first = await author.started(playbook_id, customer="c1")
    await author.open_task(first)
    second = await author.started(playbook_id, customer="c1")
    old = await finished(author, first)
    assert old["status"] == "cancelled"
    assert old["cancel_reason"] == f"run {second} of the same key took its place"
    await author.open_task(second)
    assert (await author.run(second))["status"] == "in_progress"
    await cancel(author, second)


async def test_a_start_is_refused_with_its_place_when_the_key_has_no_value(author: Caller) -> None:
    made = limited(key="${input.customer}", output=None)
    made = {**made, "input_contract": {"type": "object"}}
    del made["output"]
    playbook_id = await author.published(made)
    answer = await author.post(f"/playbooks/{playbook_id}/execute", {"input_data": {"other": 1}})
    body = assert_problem(answer, 422, "VALIDATION_ERROR")
    assert [(item["pointer"], item["code"]) for item in body["errors"]] == [("/input_data/customer", "MISSING_PATH")]


async def test_a_key_may_read_the_input_only_when_it_is_published(author: Caller) -> None:
    for key, code in (("${steps.a.output}", "UNKNOWN_REFERENCE"), ("${input.nobody}", "UNKNOWN_REFERENCE")):
        answer = await author.post("/playbooks/validate", limited(key=key) | {"input_contract": _closed()})
        errors = answer.json()["data"]["errors"]
        assert ("/policies/concurrency/key", code) in [(item["pointer"], item["code"]) for item in errors], errors


def _closed() -> Any:
    return {"type": "object", "properties": {"customer": {"type": "string"}}, "additionalProperties": False}


async def test_a_child_needs_no_turn_of_its_own_when_its_parent_waits_with_it(author: Caller) -> None:
    """Else a playbook that starts itself would wait for itself."""
    code = f"book-{uuid4().hex[:8]}"
    step = starting(code, config={"max_depth": 2}, critical=False)
    playbook_id = await author.published(book(step, code=code, policies={"concurrency": {"max_runs": 1}}))
    run = await finished(author, await author.started(playbook_id))
    assert run["status"] == "completed"
    assert run["steps"][0]["output_data"]["status"] == "completed"


async def test_a_step_fails_when_the_other_playbook_has_no_room_and_refuses(author: Caller) -> None:
    child = limited("reject")
    held = await author.started(await author.published(child), customer="c1")
    await author.open_task(held)
    parent = await author.published(book(starting(child["code"], retry={"max_retries": 0})))
    run = await finished(author, await author.started(parent, customer="c1"))
    error = run["steps"][0]["error"]
    assert (error["kind"], error["code"]) == ("business_rule", "DUPLICATE_EXECUTION")
    await cancel(author, held)

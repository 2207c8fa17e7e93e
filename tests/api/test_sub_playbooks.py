"""Steps that run other playbooks: the journeys, with a real worker."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from tests.api.callers import Caller, Organization, document
from tests.api.test_request_guard import assert_problem
from tests.support.waiting import eventually

pytestmark = pytest.mark.usefixtures("worker")

SOON = 40
"""Seconds: the reconciler looks every 5 at what is older than 5."""


def starting(code: str, name: str = "Child", number: int = 1, **fields: Any) -> dict[str, Any]:
    config = {"playbook": code, **fields.pop("config", {})}
    step = {"name": name, "step_number": number, "step_type": "system", "worker_type": "sub_playbook"}
    return {**step, "config": config, **fields}


def processing(number: int, name: str, output: Any, **fields: Any) -> dict[str, Any]:
    step = {"name": name, "step_number": number, "step_type": "system", "worker_type": "data_processor"}
    return {**step, "config": {"output": output}, **fields}


def book(*steps: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"name": "Book", "code": f"book-{uuid4().hex[:8]}", "industry": "RETAIL", "steps": list(steps), **fields}


def quick(**fields: Any) -> dict[str, Any]:
    """A playbook that doubles a number."""
    contract = {"type": "object", "required": ["n"], "properties": {"n": {"type": "number"}}}
    double = processing(1, "Double", {"twice": "${double(input.n) * 2.0}"})
    return book(double, input_contract=contract, output={"twice": "${steps.double.output.twice}"}, **fields)


async def finished(caller: Caller, execution_id: str, seconds: float = SOON) -> dict[str, Any]:
    async def found() -> dict[str, Any] | None:
        data = await caller.run(execution_id)
        return data if data["status"] in ("completed", "failed", "cancelled") else None

    return await eventually(found, seconds)


async def child_of(caller: Caller, execution_id: str, key: str = "child") -> str:
    """The run that a step has started, once it is shown."""

    async def found() -> str | None:
        steps = (await caller.run(execution_id, "steps"))["steps"]
        return next((step["child_execution_id"] for step in steps if step["step_key"] == key), None)

    return await eventually(found, SOON)


async def test_a_run_gets_its_childs_output_when_it_waits(author: Caller) -> None:
    child = quick()
    child_playbook = await author.published(child)
    after = processing(2, "After", {"got": "${steps.child.output.output.twice}"}, input={})
    parent = book(starting(child["code"], input={"n": "${input.n}"}), after)
    execution_id = await author.started(await author.published(parent), n=21)
    run = await finished(author, execution_id)
    assert run["status"] == "completed", run
    assert run["output_data"] == {"after": {"got": 42.0}}
    started = run["steps"][0]["child_execution_id"]
    assert run["steps"][0]["output_data"] == {
        "execution_id": started,
        "status": "completed",
        "output": {"twice": 42.0},
    }
    assert "child_started" in [event["kind"] for event in run["timeline"]]
    below = await finished(author, started)
    assert below["playbook_id"] == child_playbook
    assert below["input_data"] == {"n": 21}
    assert below["initiated_by"] == run["initiated_by"]
    parent_view = {"execution_id": execution_id, "step_key": "child", "visit": 1, "depth": 1, "mode": "wait"}
    assert below["parent"] == parent_view
    assert run["parent"] is None


async def test_a_run_goes_on_at_once_when_its_child_is_detached(author: Caller) -> None:
    child = document()
    await author.published(child)
    parent = book(starting(child["code"], config={"mode": "detach", "priority": "high"}))
    execution_id = await author.started(await author.published(parent), amount=5)
    run = await finished(author, execution_id)
    started = run["steps"][0]["child_execution_id"]
    assert run["steps"][0]["output_data"] == {"execution_id": started, "status": "started"}
    await author.open_task(started)
    below = (await author.get(f"/playbooks/runs/{started}")).json()["data"]
    assert (below["status"], below["priority"], below["parent"]["mode"]) == ("in_progress", "high", "detach")
    assert_problem(await author.delete(f"/playbooks/runs/{execution_id}"), 409, "INVALID_STATUS")
    assert (await author.delete(f"/playbooks/runs/{started}")).status_code in (200, 202)


@pytest.mark.parametrize("goes_on", [True, False])
async def test_a_step_fails_when_its_child_fails(author: Caller, goes_on: bool) -> None:
    broken = book(processing(1, "Break", "${input.nothing}"))
    await author.published(broken)
    retry = {"max_retries": 3, "retry_on_errors": ["business_rule", "validation"], "initial_delay_ms": 0}
    step = starting(broken["code"], retry=retry, critical=not goes_on)
    parent = book(step, processing(2, "After", {}, input={}))
    run = await finished(author, await author.started(await author.published(parent)))
    assert run["status"] == ("completed" if goes_on else "failed")
    assert (run["steps"][0]["error"]["kind"], run["steps"][0]["error"]["code"]) == ("business_rule", "CHILD_FAILED")
    assert run["steps"][0]["retry_count"] == 0
    below = await finished(author, run["steps"][0]["child_execution_id"])
    assert below["status"] == "failed"


async def test_a_child_is_cancelled_when_its_parent_is(author: Caller) -> None:
    child = document()
    await author.published(child)
    middle = book(starting(child["code"]))
    await author.published(middle)
    top = await author.published(book(starting(middle["code"])))
    execution_id = await author.started(top, amount=5)
    between = await child_of(author, execution_id)
    below = await child_of(author, between)
    await author.open_task(below)
    answer = await author.ask("DELETE", f"/playbooks/runs/{execution_id}", json={"reason": "withdrawn"})
    assert answer.status_code in (200, 202), answer.text
    assert (await finished(author, execution_id))["status"] == "cancelled"
    for run in (between, below):
        found = await finished(author, run)
        assert found["status"] == "cancelled"
        assert "does not wait for it any more" in found["cancel_reason"]
        assert found["timeline"][-1]["actor"]["via"] == "system"
    assert (await author.get(f"/playbooks/runs/{below}")).json()["data"]["parent"]["depth"] == 2


async def test_a_step_fails_when_somebody_cancels_its_child(author: Caller) -> None:
    child = document()
    await author.published(child)
    execution_id = await author.started(await author.published(book(starting(child["code"]))), amount=5)
    below = await child_of(author, execution_id)
    await author.open_task(below)
    await author.delete(f"/playbooks/runs/{below}")
    run = await finished(author, execution_id)
    assert (run["status"], run["error_details"]["code"]) == ("failed", "CHILD_CANCELLED")


async def test_a_playbook_that_starts_itself_ends_at_its_depth(author: Caller) -> None:
    code = f"book-{uuid4().hex[:8]}"
    playbook_id = await author.published(book(starting(code, config={"max_depth": 2}), code=code))
    run = await finished(author, await author.started(playbook_id))
    codes = [run["error_details"]["code"]]
    while run["steps"][0]["child_execution_id"] is not None:
        run = await finished(author, run["steps"][0]["child_execution_id"])
        codes.append(run["error_details"]["code"])
    assert codes == ["CHILD_FAILED", "CHILD_FAILED", "MAX_DEPTH"]
    assert run["parent"]["depth"] == 2


async def test_nothing_is_started_when_there_is_no_such_version_or_its_contract_refuses_the_input(
    author: Caller,
) -> None:
    child = quick()
    child_id = await author.published(child)
    draft = quick()
    await author.draft(draft)
    once = {"max_retries": 0}
    for step, kind, code in (
        (starting("no-such-book"), "not_found", "NOT_FOUND"),
        (starting(child["code"], config={"version": 7}), "not_found", "NOT_FOUND"),
        (starting(draft["code"]), "business_rule", "INVALID_PLAYBOOK_STATUS"),
        (starting(child["code"], input={"n": "text"}), "validation", "INPUT_VALIDATION_ERROR"),
    ):
        playbook_id = await author.published(book({**step, "retry": once}))
        run = await finished(author, await author.started(playbook_id, n=1))
        error = run["steps"][0]["error"]
        assert (error["kind"], error["code"]) == (kind, code), run
        assert run["steps"][0]["child_execution_id"] is None
    await author.put(f"/playbooks/{child_id}/publish", {"action": "deprecate"})
    playbook_id = await author.published(book(starting(child["code"], config={"version": 1}, retry=once)))
    run = await finished(author, await author.started(playbook_id, n=1))
    assert run["steps"][0]["error"]["code"] == "INVALID_PLAYBOOK_STATUS"


async def test_the_newest_active_version_is_run_unless_another_one_is_named(author: Caller) -> None:
    child = quick()
    first = await author.published(child)
    second = {**child, "output": {"twice": "two"}}
    draft = (await author.post(f"/playbooks/{first}/versions", second)).json()["data"]["id"]
    await author.put(f"/playbooks/{draft}/publish", {"action": "publish"})
    named = starting(child["code"], "Named", 2, config={"version": 1}, input={"n": "${input.n}"})
    parent = book(starting(child["code"]), named)
    run = await finished(author, await author.started(await author.published(parent), n=1))
    outputs = [step["output_data"]["output"]["twice"] for step in run["steps"]]
    assert outputs == ["two", 2.0]


async def test_a_child_runs_for_each_item_when_the_step_goes_over_a_list(author: Caller) -> None:
    child = quick()
    await author.published(child)
    loop = {"items": "${input.numbers}", "max_concurrency": 2}
    parent = book(starting(child["code"], for_each=loop, input={"n": "${item}"}))
    run = await finished(author, await author.started(await author.published(parent), numbers=[1, 2, 3]))
    assert run["status"] == "completed", run
    results = run["output_data"]["child"]["results"]
    assert [result["output"]["twice"] for result in results] == [2.0, 4.0, 6.0]
    assert len({result["execution_id"] for result in results}) == 3


async def test_what_is_sensitive_in_a_child_stays_so_when_it_travels(
    organization: Organization, author: Caller
) -> None:
    iban = {"type": "string", "x-sensitive": True}
    contract = {"type": "object", "properties": {"iban": iban}}
    child = book(processing(1, "Echo", {"iban": "${input.iban}", "open": 1}), input_contract=contract)
    await author.published(child)
    marked = {"type": "object", "properties": {"output": {"type": "object", "properties": {"echo": contract}}}}
    parent = book(
        starting(child["code"], "Unmarked"),
        starting(child["code"], "Marked", 2, output_contract=marked, input={"iban": "${input.iban}"}),
        input_contract=contract,
    )
    execution_id = await author.started(await author.published(parent), iban="DE00")
    run = await finished(author, execution_id)
    outputs = [step["output_data"]["output"]["echo"] for step in run["steps"]]
    assert outputs == [{"open": 1}, {"iban": "DE00", "open": 1}]
    reader = organization.caller("rita", permissions=("runs:read", "playbooks:read", "audit:read"))
    seen = await finished(reader, execution_id)
    assert seen["steps"][1]["output_data"]["output"]["echo"] == {"iban": "***", "open": 1}
    below = await finished(reader, run["steps"][0]["child_execution_id"])
    assert below["input_data"] == {"iban": "***"}

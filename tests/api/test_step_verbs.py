"""Signals and manual decisions about a step, with a real worker."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from tests.api.callers import Caller, Organization
from tests.api.test_request_guard import assert_problem
from tests.support.waiting import eventually

pytestmark = pytest.mark.usefixtures("worker")

BROKEN: dict[str, Any] = {
    "step_type": "system",
    "worker_type": "data_processor",
    "config": {"output": {"n": "${input.missing}"}},
    "output_contract": {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}},
    "on_error": {"action": "incident"},
}
WAIT: dict[str, Any] = {"step_type": "system", "worker_type": "signal_wait"}


def book(*steps: dict[str, Any]) -> dict[str, Any]:
    return {"name": "Verbs", "code": f"verbs-{uuid4().hex[:8]}", "industry": "TESTING", "steps": list(steps)}


async def started(author: Caller, *steps: dict[str, Any]) -> str:
    return await author.started(await author.published(book(*steps)))


async def waits(author: Caller, run: str, key: str) -> None:
    """Wait until the step waits, by its row."""

    async def is_waiting() -> bool:
        steps = (await author.run(run, "steps"))["steps"]
        return any(step["step_key"] == key and step["status"] == "waiting" for step in steps)

    await eventually(is_waiting)


async def verb(caller: Caller, run: str, action: str, step: str = "make", **fields: Any) -> Any:
    return await caller.put(f"/playbooks/runs/{run}", {"action": action, "step": step, **fields})


@pytest.mark.parametrize(
    ("action", "fields", "status", "step_status", "output"),
    [
        ("skip_step", {}, "completed", "skipped", None),
        ("skip_step", {"output": {"n": 1}, "reason": "known"}, "completed", "skipped", {"n": 1}),
        ("complete_step", {"output": {"n": 2}}, "completed", "completed", {"n": 2}),
        ("fail_step", {"reason": "in vain"}, "failed", "failed", None),
    ],
)
async def test_an_incident_is_closed_by_a_verb(
    author: Caller, action: str, fields: dict[str, Any], status: str, step_status: str, output: Any
) -> None:
    run = await started(author, {"name": "Make", **BROKEN})
    await waits(author, run, "make")
    answer = await verb(author, run, action, **fields)
    assert answer.status_code in (200, 202), answer.text
    data: Any = await author.run_once(run, status)
    assert (data["steps"][0]["status"], data["steps"][0]["output_data"]) == (step_status, output)
    recorded = [event for event in data["timeline"] if event["kind"] == action]
    assert [(event["step_key"], event["data"]["reason"]) for event in recorded] == [("make", fields.get("reason"))]


async def test_an_incident_is_tried_again_when_somebody_wants_it(author: Caller) -> None:
    run = await started(author, {"name": "Make", **BROKEN})
    await waits(author, run, "make")
    assert (await verb(author, run, "retry_step", reason="again")).status_code in (200, 202)

    async def two_incidents() -> list[str] | None:
        kinds = [event["kind"] for event in (await author.run(run, "timeline"))["timeline"]]
        return kinds if kinds.count("incident_opened") == 2 else None

    assert (await eventually(two_incidents)).count("step_started") == 2


async def test_a_verb_is_refused_when_the_step_or_the_person_does_not_fit(
    author: Caller, organization: Organization
) -> None:
    run = await started(author, {"name": "Make", **BROKEN, "required_roles": ["office"]}, {"name": "Wait", **WAIT,
                        "dependencies": [], "parallel_group": "g", "config": {"signals": ["go"]}})  # fmt: skip
    await waits(author, run, "make")
    clerk = organization.caller("carl", roles=("office",))
    assert_problem(await verb(author, run, "retry_step"), 403, "NOT_ELIGIBLE")
    assert_problem(await verb(clerk, run, "retry_step", step="nosuch"), 404, "NOT_FOUND")
    assert_problem(await verb(clerk, run, "retry_step", step="wait"), 409, "INVALID_STEP_STATE")
    wrong = await verb(clerk, run, "complete_step", output={"n": "many"})
    assert_problem(wrong, 422, "CONTRACT_VALIDATION_FAILED")
    assert wrong.json()["errors"][0]["pointer"] == "/output/n"
    assert_problem(await verb(clerk, run, "fail_step", output=1), 422, "VALIDATION_ERROR")
    watcher = organization.caller("olaf", permissions=("runs:read",))
    assert_problem(await verb(watcher, run, "skip_step"), 403, "FORBIDDEN")
    assert_problem(await watcher.post(f"/playbooks/runs/{run}/signals", {"name": "go"}), 403, "FORBIDDEN")
    assert (await verb(clerk, run, "complete_step", output={"n": 3})).status_code in (200, 202)
    assert_problem(await verb(clerk, run, "skip_step"), 409, "INVALID_STEP_STATE")


@pytest.mark.parametrize("payload", [None, 0, "", [], {"parcel": {"id": 7}}])
async def test_a_signal_ends_a_wait_when_its_name_fits(author: Caller, payload: Any) -> None:
    wait = {"name": "Wait", **WAIT, "config": {"signals": ["arrived", "lost"]}}
    run = await started(author, wait)
    await waits(author, run, "wait")
    path, key = f"/playbooks/runs/{run}/signals", {"Idempotency-Key": uuid4().hex}
    other = await author.post(path, {"name": "other", "payload": payload})
    assert other.json()["data"] == {"name": "other", "delivered_to": [], "kept": False}
    answers = [await author.post(path, {"name": "lost", "payload": payload}, headers=key) for _ in range(2)]
    assert answers[0].json()["data"] == {"name": "lost", "delivered_to": ["wait"], "kept": False}, answers[0].text
    assert answers[1].status_code in (200, 409)
    data: Any = await author.run_once(run, "completed")
    output = data["steps"][0]["output_data"]
    assert (output["signal"], output["payload"], output["timed_out"]) == ("lost", payload, False)
    assert_problem(await author.post(path, {"name": "lost"}), 409, "INVALID_STATUS")


async def test_a_signal_is_refused_when_the_contract_of_its_step_does_not_allow_it(author: Caller) -> None:
    contract = {"type": "object", "properties": {"payload": {"type": "object", "required": ["parcel"]}}}
    run = await started(author, {"name": "Wait", **WAIT, "config": {"signals": ["go"]}, "output_contract": contract})
    await waits(author, run, "wait")
    path = f"/playbooks/runs/{run}/signals"
    body = assert_problem(await author.post(path, {"name": "go", "payload": {}}), 422, "CONTRACT_VALIDATION_FAILED")
    assert body["errors"][0]["pointer"] == "/payload/parcel"
    large = await author.post(path, {"name": "go", "payload": {"parcel": "x" * 70_000}})
    assert_problem(large, 422, "VALIDATION_ERROR")
    answer = await author.post(path, {"name": "go", "payload": {"parcel": 7}})
    assert answer.json()["data"]["delivered_to"] == ["wait"], answer.text
    await author.run_once(run, "completed")


async def test_a_signal_is_kept_when_its_step_comes_later(author: Caller) -> None:
    pause = {"name": "Look", "step_type": "human", "worker_type": "clerk", "required_roles": ["clerk"]}
    run = await started(author, pause, {"name": "Wait", **WAIT, "config": {"signals": ["early"]}})
    await waits(author, run, "look")
    kept = await author.post(f"/playbooks/runs/{run}/signals", {"name": "early", "payload": 1})
    assert kept.json()["data"] == {"name": "early", "delivered_to": [], "kept": True}
    refused = await author.post(f"/playbooks/runs/{run}/signals", {"payload": 1})
    assert_problem(refused, 422, "VALIDATION_ERROR")
    # A step that people decide is skipped by a person who may decide it.
    assert_problem(await verb(author, run, "skip_step", step="look"), 403, "NOT_ELIGIBLE")

"""Start, watch and steer runs, with a real worker."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from uuid import uuid4

import pytest

from tests.api.callers import Caller, Organization, document
from tests.api.test_request_guard import assert_problem
from tests.support.waiting import eventually

EXAMPLES = Path(__file__).parents[2] / "examples"

pytestmark = pytest.mark.usefixtures("worker")


async def test_a_body_with_every_field_starts_a_run_when_the_contract_allows_it(author: Caller) -> None:
    requests = json.loads((EXAMPLES / "requests.json").read_text())
    playbook_id = await author.published(document(input_contract={"type": "object"}))
    for name in ("execute", "execute_with_addressed_channels"):
        answer = await author.post(f"/playbooks/{playbook_id}/execute", requests[name])
        assert answer.status_code == 201, answer.text
        data = answer.json()["data"]
        assert answer.headers["location"] == f"/api/v1/playbooks/runs/{data['execution_id']}"
        assert data["priority"] == "high"
        assert data["total_steps"] == 2


async def test_a_repeat_finds_the_first_run_when_the_key_is_the_same(author: Caller) -> None:
    playbook_id = await author.published(document())
    path, key = f"/playbooks/{playbook_id}/execute", {"Idempotency-Key": uuid4().hex}
    answers = await asyncio.gather(*(author.post(path, {"input_data": {"amount": 5}}, headers=key) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["data"]["execution_id"] for answer in answers}) == 1
    assert sum(answer.headers.get("idempotency-replayed") == "true" for answer in answers) == 4
    other = await author.post(path, {"input_data": {"amount": 6}}, headers=key)
    assert_problem(other, 422, "IDEMPOTENCY_KEY_REUSED")
    await author.put(f"/playbooks/{playbook_id}/publish", {"action": "deprecate"})
    again = await author.post(path, {"input_data": {"amount": 5}}, headers=key)
    assert again.status_code == 201
    assert_problem(await author.post(path, {"input_data": {"amount": 5}}), 409, "INVALID_PLAYBOOK_STATUS")


async def test_a_start_is_refused_when_input_status_or_options_do_not_fit(author: Caller) -> None:
    draft = await author.draft(document())
    assert_problem(await author.post(f"/playbooks/{draft}/execute", {}), 409, "INVALID_PLAYBOOK_STATUS")
    path = f"/playbooks/{await author.published(document())}/execute"
    body = assert_problem(await author.post(path, {"input_data": {"amount": -1}}), 422, "INPUT_VALIDATION_ERROR")
    assert body["errors"][0]["pointer"] == "/input_data/amount"
    good = {"input_data": {"amount": 1}}
    for simulated in ({"simulation": {}}, {"execution_options": {"auto_approve_human_steps": True}}):
        assert_problem(await author.post(path, {**good, **simulated}), 422, "VALIDATION_ERROR")
    unknown = {**good, "execution_options": {"colour": "red"}}
    body = assert_problem(await author.post(path, unknown), 422, "VALIDATION_ERROR")
    assert body["errors"][0] == {
        "pointer": "/execution_options/colour",
        "code": "UNKNOWN_FIELD",
        "message": "there is no such field",
    }
    subject = {**good, "execution_context": {"subject_entity_id": str(uuid4())}}
    assert_problem(await author.post(path, subject), 422, "VALIDATION_ERROR")


async def test_a_run_is_shown_in_full_when_it_is_read(organization: Organization, author: Caller) -> None:
    manager = organization.caller("max", roles=("manager",))
    execution_id = await author.started(await author.published(document()), amount=20, iban="DE00")
    task = await author.open_task(execution_id)
    answer = await manager.post(f"/tasks/{task['task_id']}/decisions", {"decision": "approve", "data": {"score": 7}})
    assert answer.status_code == 200, answer.text
    finished = await author.get(f"/playbooks/runs/{execution_id}?include=steps,timeline&wait=30")
    data = finished.json()["data"]
    assert data["status"] == "completed", data
    assert data["input_data"] == {"amount": 20, "iban": "DE00"}
    assert [(step["step_key"], step["status"]) for step in data["steps"]] == [
        ("check_amount", "completed"),
        ("approve_refund", "completed"),
    ]
    assert data["steps"][1]["output_data"]["score"] == 7
    assert data["execution_summary"]["performance_grade"] == "A+"
    assert data["progress"] == {"finished_steps": 2, "total_steps": 2, "percent": 100.0}
    assert data["permissions"]["can_cancel"] is False
    assert [event["number"] for event in data["timeline"]] == list(range(1, len(data["timeline"]) + 1))
    reader = organization.caller("rita", permissions=("runs:read", "playbooks:read"))
    hidden = (await reader.get(f"/playbooks/runs/{execution_id}")).json()["data"]
    assert hidden["input_data"] == {"amount": 20, "iban": "***"}
    assert_problem(await reader.get(f"/playbooks/runs/{execution_id}?include=timeline"), 403, "FORBIDDEN")
    assert_problem(await reader.get(f"/playbooks/runs/{execution_id}/timeline"), 403, "FORBIDDEN")


async def test_waiting_ends_when_the_run_changes(organization: Organization, author: Caller) -> None:
    execution_id = await author.started(await author.published(document()), amount=20)
    await author.open_task(execution_id)
    path = f"/playbooks/runs/{execution_id}"

    async def tag_that_stays() -> str | None:
        tag = (await author.get(path)).headers["etag"]
        begun = time.monotonic()
        if (await author.get(f"{path}?wait=1", headers={"If-None-Match": tag})).status_code != 304:
            return None
        assert time.monotonic() - begun >= 1
        return tag

    tag = await eventually(tag_that_stays)
    assert (await author.get(path, headers={"If-None-Match": tag})).status_code == 304
    waiting = asyncio.create_task(author.get(f"{path}?wait=30", headers={"If-None-Match": tag}))
    await asyncio.sleep(0.2)
    await author.put(path, {"action": "pause"})
    changed = await asyncio.wait_for(waiting, 10)
    assert (changed.status_code, changed.json()["data"]["status"]) == (200, "paused")
    assert changed.headers["etag"] != tag


async def test_a_run_is_paused_resumed_and_cancelled_when_it_is_asked_to(author: Caller) -> None:
    execution_id = await author.started(await author.published(document()), amount=20)
    await author.open_task(execution_id)
    path = f"/playbooks/runs/{execution_id}"
    answer = await author.put(path, {"action": "pause", "reason": "audit"})
    assert (answer.status_code, answer.json()["data"]["status"]) == (200, "paused"), answer.text
    assert answer.json()["data"]["pause"]["reason"] == "audit"
    assert_problem(await author.put(path, {"action": "pause"}), 409, "INVALID_STATUS")
    answer = await author.put(path, {"action": "resume"})
    assert (answer.status_code, answer.json()["data"]["status"]) == (200, "in_progress"), answer.text
    answer = await author.ask("DELETE", path, json={"reason": "withdrawn"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["data"]["status"] == "cancelled"
    assert answer.json()["data"]["cancel_reason"] == "withdrawn"
    assert_problem(await author.delete(path), 409, "ALREADY_CANCELLED")
    assert_problem(await author.put(path, {"action": "pause"}), 409, "INVALID_STATUS")


async def test_an_action_is_refused_when_it_is_unknown_or_not_built(author: Caller) -> None:
    execution_id = await author.started(await author.published(document()), amount=20)
    path = f"/playbooks/runs/{execution_id}"
    for body, code in (
        ({"action": "cancel"}, "INVALID_ACTION"),
        ({"action": "explode"}, "INVALID_ACTION"),
        ({"action": "retry_step"}, "VALIDATION_ERROR"),
        ({"action": "pause", "step": "x"}, "VALIDATION_ERROR"),
        ({"action": "reassign", "step": "x"}, "NOT_SUPPORTED"),
        ({"action": "update_priority", "priority": "high"}, "NOT_SUPPORTED"),
        ({"action": "pause", "colour": "red"}, "VALIDATION_ERROR"),
        ({"action": "pause", "until": "2001-01-01T00:00:00Z"}, "VALIDATION_ERROR"),
        ({}, "VALIDATION_ERROR"),
    ):
        assert_problem(await author.put(path, body), 422, code)
    assert_problem(await author.get(f"{path}?include=logs"), 422, "NOT_SUPPORTED")
    assert_problem(await author.get(f"{path}?include=nosuch"), 422, "VALIDATION_ERROR")


async def test_runs_are_listed_by_what_is_asked_for_when_filters_are_given(author: Caller) -> None:
    playbook_id = await author.published(document())
    context = {"priority": "high", "tags": ["urgent"], "correlation_id": "c-1"}
    made = [
        (await author.post(f"/playbooks/{playbook_id}/execute", {"input_data": {"amount": 1}, **body})).json()["data"]
        for body in ({"execution_context": context}, {}, {})
    ]
    for query, count in (
        ("", 3),
        ("tag=urgent", 1),
        ("priority=high", 1),
        ("correlation_id=c-1", 1),
        ("initiated_by=anna", 3),
        ("initiated_by=bob", 0),
        (f"playbook_id={playbook_id}", 3),
        (f"playbook_id={uuid4()}", 0),
        ("status=failed", 0),
        ("status=queued&status=in_progress", 3),
        ("date_from=2999-01-01T00:00:00Z", 0),
        ("limit=1", 3),
        ("include_steps=true&include_analytics=true&include_output_data=true&sort_by=duration", 3),
    ):
        answer = await author.get(f"/playbooks/runs?{query}")
        body = answer.json()
        assert (answer.status_code, body["total"], body["pagination"]["total"]) == (200, count, count), (query, body)
    assert {item["execution_id"] for item in (await author.get("/playbooks/runs")).json()["data"]} == {
        run["execution_id"] for run in made
    }


async def test_another_organization_sees_no_run_or_task_when_it_has_every_id(author: Caller, stranger: Caller) -> None:
    execution_id = await author.started(await author.published(document()), amount=20)
    task_id = (await author.open_task(execution_id))["task_id"]
    for method, path, body in (
        ("GET", f"/playbooks/runs/{execution_id}", None),
        ("GET", f"/playbooks/runs/{execution_id}?wait=5", None),
        ("GET", f"/playbooks/runs/{execution_id}/timeline", None),
        ("PUT", f"/playbooks/runs/{execution_id}", {"action": "pause"}),
        ("DELETE", f"/playbooks/runs/{execution_id}", None),
        ("GET", f"/tasks/{task_id}", None),
        ("POST", f"/tasks/{task_id}/claim", None),
        ("POST", f"/tasks/{task_id}/release", None),
        ("POST", f"/tasks/{task_id}/ticket", None),
        ("POST", f"/tasks/{task_id}/decisions", {"decision": "approve"}),
    ):
        assert_problem(await stranger.ask(method, path, json=body), 404, "NOT_FOUND")
    for path in ("/playbooks/runs", "/tasks"):
        assert (await stranger.get(path)).json()["total"] == 0
    assert (await author.get(f"/playbooks/runs/{execution_id}")).json()["data"]["status"] == "in_progress"

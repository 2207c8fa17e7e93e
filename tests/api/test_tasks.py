"""The approver's inbox, with a real worker."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from temporalio.client import Client

from runtime.settings import Settings
from runtime.temporal_client import connect
from tests.api.callers import Caller, Organization, document
from tests.api.test_request_guard import assert_problem

pytestmark = pytest.mark.usefixtures("worker")

APPROVE: dict[str, Any] = {"decision": "approve", "data": {"score": 50}}


@pytest.fixture
async def task_id(author: Caller) -> str:
    execution_id = await author.started(await author.published(document()), amount=20, iban="DE00")
    return (await author.open_task(execution_id))["task_id"]


async def test_a_task_shows_what_to_decide_when_it_is_read(organization: Organization, task_id: str) -> None:
    manager = organization.caller("max", roles=("manager",), permissions=("tasks:act",))
    data = (await manager.get(f"/tasks/{task_id}")).json()["data"]
    assert (data["title"], data["state"]) == ("Approve Refund", "open")
    assert data["required_roles"] == ["manager"]
    assert data["form"]["required"] == ["score"]
    assert (data["approvals_required"], data["approvals_received"]) == (1, 0)
    assert data["input_data"] == {"amount": 20, "iban": "***"}


async def test_the_inbox_shows_only_own_roles_when_the_caller_may_not_read_runs(
    organization: Organization, task_id: str
) -> None:
    manager = organization.caller("max", roles=("manager",), permissions=("tasks:act",))
    clerk = organization.caller("carl", roles=("clerk",), permissions=("tasks:act",))
    nobody = organization.caller("nora", permissions=("tasks:act",))
    assert [task["task_id"] for task in (await manager.get("/tasks")).json()["data"]] == [task_id]
    for caller in (clerk, nobody):
        assert (await caller.get("/tasks")).json()["total"] == 0
    assert (await manager.get("/tasks?state=closed")).json()["total"] == 0
    assert (await manager.get("/tasks?role=clerk")).json()["total"] == 0


async def test_a_claim_keeps_others_from_deciding_when_one_vote_is_enough(
    organization: Organization, task_id: str
) -> None:
    max_, mia = (organization.caller(name, roles=("manager",)) for name in ("max", "mia"))
    claimed = await max_.post(f"/tasks/{task_id}/claim")
    assert claimed.status_code == 200, claimed.text
    assert claimed.json()["data"]["task"]["claimed_by"]["name"] == "max"
    again = await max_.post(f"/tasks/{task_id}/claim")
    assert again.status_code == 200
    assert_problem(await mia.post(f"/tasks/{task_id}/decisions", APPROVE), 403, "NOT_ELIGIBLE")
    released = await max_.post(f"/tasks/{task_id}/release")
    assert released.json()["data"]["task"]["claimed_by"] is None
    decided = await mia.post(f"/tasks/{task_id}/decisions", APPROVE)
    assert decided.status_code == 200, decided.text
    task = decided.json()["data"]["task"]
    assert (task["state"], task["decision"], task["approvals_received"]) == ("completed", "approved", 1)
    assert task["votes"][0]["actor"]["name"] == "mia"


async def test_a_decision_is_refused_and_changes_nothing_when_it_may_not_be(
    organization: Organization, task_id: str
) -> None:
    path = f"/tasks/{task_id}/decisions"
    manager = organization.caller("max", roles=("manager",))
    assert_problem(await organization.caller("carl", roles=("clerk",)).post(path, APPROVE), 403, "NOT_ELIGIBLE")
    wrong = {"decision": "approve", "data": {"score": 101}}
    body = assert_problem(await manager.post(path, wrong), 422, "CONTRACT_VALIDATION_FAILED")
    assert body["errors"][0]["pointer"] == "/data/score"
    for shape in ({"decision": "maybe"}, {"decision": "approve", "actor": {"id": "x"}}, {}, {"decision": None}):
        assert_problem(await manager.post(path, shape), 422, "VALIDATION_ERROR")
    assert (await manager.get(f"/tasks/{task_id}")).json()["data"]["votes"] == []
    assert (await manager.post(path, APPROVE)).status_code == 200
    assert_problem(await manager.post(path, APPROVE), 409, "TASK_CLOSED")


async def test_a_decision_counts_once_when_it_is_sent_at_the_same_time_again(
    organization: Organization, task_id: str
) -> None:
    manager = organization.caller("max", roles=("manager",))
    answers = await asyncio.gather(*(manager.post(f"/tasks/{task_id}/decisions", APPROVE) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
    keyed = {"Idempotency-Key": "k-1"}
    task = (await manager.get(f"/tasks/{task_id}")).json()["data"]
    assert len(task["votes"]) == 1
    late = await manager.post(f"/tasks/{task_id}/decisions", APPROVE, headers=keyed)
    assert_problem(late, 409, "TASK_CLOSED")


async def test_a_decision_is_kept_when_the_run_is_paused(
    organization: Organization, author: Caller, task_id: str
) -> None:
    manager = organization.caller("max", roles=("manager",))
    execution_id = (await manager.get(f"/tasks/{task_id}")).json()["data"]["execution_id"]
    await author.put(f"/playbooks/runs/{execution_id}", {"action": "pause"})
    kept = await manager.post(f"/tasks/{task_id}/decisions", APPROVE)
    assert (kept.status_code, kept.json()["data"]["verdict"]["outcome"]) == (202, "kept")


async def test_a_ticket_lets_its_holder_decide_through_temporal_when_it_is_for_that_task(
    organization: Organization, author: Caller, task_id: str, settings: Settings
) -> None:
    manager = organization.caller("max", roles=("manager",))
    ticket = (await manager.post(f"/tasks/{task_id}/ticket")).json()["data"]
    client: Client = await connect(settings)
    handle = client.get_workflow_handle(ticket["workflow_id"])
    await handle.signal("decide", {"task_id": task_id, "ticket": ticket["ticket"], **APPROVE})
    execution_id = ticket["workflow_id"].rsplit("/", 1)[1]
    finished = await author.get(f"/playbooks/runs/{execution_id}?wait=20&include=timeline")
    data = finished.json()["data"]
    assert data["status"] == "completed"
    made = next(event for event in data["timeline"] if event["kind"] == "decision_made")
    assert (made["actor"]["name"], made["actor"]["via"]) == ("max", "ticket")
    assert_problem(await manager.post(f"/tasks/{task_id}/ticket"), 409, "TASK_CLOSED")

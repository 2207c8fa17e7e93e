"""Simulations over HTTP: nothing is stored, a draft will do, and a refusal has a pointer."""

from __future__ import annotations

from typing import Any

from tests.api.callers import Caller, Organization, document
from tests.api.test_request_guard import assert_problem


async def runs_of(caller: Caller, playbook_id: str) -> int:
    return (await caller.get("/playbooks/runs", params={"playbook_id": playbook_id})).json()["total"]


def simulated(answer: Any) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    data = answer.json()["data"]
    assert data["simulated"] is True
    return data


async def test_a_draft_is_played_through_when_it_is_simulated(author: Caller) -> None:
    draft = await author.draft(document())
    body = {
        "input_data": {"amount": 20, "iban": "DE00"},
        "simulation": {
            "decisions": {"approve_refund": [{"decision": "approve", "by": "max", "data": {"score": 7}}]},
            "started_at": "2026-05-01T08:00:00Z",
        },
    }
    data = simulated(await author.post(f"/playbooks/{draft}/simulate", body))
    assert (data["status"], data["path"]) == ("completed", ["check_amount", "approve_refund"])
    assert data["input_data"] == {"amount": 20, "iban": "DE00"}
    assert data["output_data"]["approve_refund"]["score"] == 7
    assert data["started_at"] == "2026-05-01T08:00:00Z"
    assert [(step["step_key"], step["source"]) for step in data["steps"]] == [
        ("check_amount", "evaluated"),
        ("approve_refund", None),
    ]
    assert data["decisions"][0]["by"] == "max"
    assert data["events"][0]["kind"] == "run_started"
    assert await runs_of(author, draft) == 0


async def test_the_input_is_generated_when_none_is_sent(author: Caller) -> None:
    draft = await author.draft(document())
    data = simulated(await author.post(f"/playbooks/{draft}/simulate", {}))
    assert (data["input_source"], data["input_data"]) == ("generated", {"amount": 0.0})
    assert (data["status"], data["waiting_for"][0]["roles"]) == ("waiting", ["manager"])


async def test_execute_stores_no_run_when_its_mode_is_simulation(author: Caller) -> None:
    playbook_id = await author.published(document())
    options = {"execution_mode": "simulation", "auto_approve_human_steps": True}
    body = {"input_data": {"amount": 5}, "execution_options": options}
    data = simulated(await author.post(f"/playbooks/{playbook_id}/execute", body, headers={"Idempotency-Key": "k"}))
    assert data["status"] == "completed"
    assert [item["is_given"] for item in data["decisions"]] == [False]
    assert await runs_of(author, playbook_id) == 0
    draft = await author.draft(document())
    assert_problem(await author.post(f"/playbooks/{draft}/execute", body), 409, "INVALID_PLAYBOOK_STATUS")


async def test_sensitive_values_are_hidden_when_the_caller_may_not_see_them(
    organization: Organization, author: Caller
) -> None:
    steps = [
        {
            "name": "Keep",
            "step_number": 1,
            "step_type": "system",
            "worker_type": "data_processor",
            "condition": "input.iban != ''",
        }
    ]
    draft = await author.draft(document(steps=steps))
    reader = organization.caller("rita", permissions=("playbooks:read",))
    body = {"input_data": {"amount": 5, "iban": "DE00"}}
    answer = await reader.post(f"/playbooks/{draft}/simulate", body)
    data = simulated(answer)
    assert data["input_data"] == {"amount": 5, "iban": "***"}
    assert data["output_data"] == {"keep": {"amount": 5, "iban": "***"}}
    assert data["steps"][0]["values"] == {"input.iban": "***"}
    assert "DE00" not in answer.text
    seen = simulated(await author.post(f"/playbooks/{draft}/simulate", body))
    assert seen["steps"][0]["values"] == {"input.iban": "DE00"}


async def test_a_simulation_is_refused_when_it_may_not_or_cannot_be_played(
    organization: Organization, author: Caller, stranger: Caller
) -> None:
    broken = await author.draft(document(output="${steps.nowhere.output}"))
    body = assert_problem(await author.post(f"/playbooks/{broken}/simulate", {}), 422, "VALIDATION_FAILED")
    assert body["errors"][0]["pointer"] == "/output"
    path = f"/playbooks/{await author.draft(document())}/simulate"
    bad = await author.post(path, {"input_data": {"amount": -1}})
    assert assert_problem(bad, 422, "INPUT_VALIDATION_ERROR")["errors"][0]["pointer"] == "/input_data/amount"
    mode = await author.post(path, {"execution_options": {"execution_mode": "debug"}})
    assert_problem(mode, 422, "VALIDATION_ERROR")
    unknown = await author.post(path, {"simulation": {"step_results": {"approve": [{"output": 1}]}}})
    problem = assert_problem(unknown, 422, "VALIDATION_ERROR")["errors"][0]
    assert (problem["pointer"], problem["code"]) == ("/simulation/step_results/approve", "UNKNOWN_STEP")
    both = {"simulation": {"step_results": {"check_amount": [{"output": 1, "error": {"kind": "network"}}]}}}
    assert_problem(await author.post(path, both), 422, "VALIDATION_ERROR")
    assert_problem(await stranger.post(path, {}), 404, "NOT_FOUND")
    nobody = organization.caller("nora", permissions=("playbooks:manage",))
    assert_problem(await nobody.post(path, {}), 403, "FORBIDDEN")


async def test_values_are_replaced_by_their_size_when_the_answer_would_be_too_large(author: Caller) -> None:
    steps = [
        {"name": f"Copy {number}", "step_number": number, "step_type": "system", "worker_type": "data_processor"}
        for number in range(1, 31)
    ]
    draft = await author.draft(document(steps=steps, input_contract={"type": "object"}))
    answer = await author.post(f"/playbooks/{draft}/simulate", {"input_data": {"text": "x" * 200_000}})
    data = simulated(answer)
    assert data["status"] == "completed"
    assert len(answer.content) < 5 * 1024 * 1024
    assert data["steps"][-1]["output_data"] == {"omitted_bytes": 200_011}


async def test_messages_reach_the_run_when_they_are_given(author: Caller) -> None:
    draft = await author.draft(document())
    skip = {"verb": "skip_step", "after_minutes": 5, "body": {"step": "approve_refund"}, "by": "max"}
    body = {"input_data": {"amount": 20}, "simulation": {"messages": [{**skip, "roles": ["manager"]}, skip]}}
    data = simulated(await author.post(f"/playbooks/{draft}/simulate", body))
    assert (data["status"], data["path"]) == ("completed", ["check_amount"])
    assert [(item["step_key"], item["by"], item["outcome"]) for item in data["messages"]] == [
        ("approve_refund", "max", "accepted")
    ]
    assert [item["code"] for item in data["problems"]] == ["NOT_USED"]


async def test_a_message_is_refused_with_its_pointer_when_the_playbook_has_no_such_step(author: Caller) -> None:
    draft = await author.draft(document())
    messages = [
        {"verb": "skip_step", "after_minutes": 5, "body": {"step": "aprove_refund"}},
        {"verb": "pause", "after_minutes": 1},
    ]
    answer = await author.post(f"/playbooks/{draft}/simulate", {"simulation": {"messages": messages}})
    assert_problem(answer, 422, "VALIDATION_ERROR")
    assert [(item["pointer"], item["code"]) for item in answer.json()["errors"]] == [
        ("/simulation/messages/0/body/step", "UNKNOWN_STEP"),
        ("/simulation/messages/1/verb", "NOT_ALLOWED"),
    ]

"""The worked example, end to end: the API, the rows and the history agree."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from tests.support.grants import APPLICATION_ID, VOTERS, Grants
from tests.support.stack import Stack

STEPS = ["register_application", "eligibility_screen", "score_proposal", "committee_review", "award_decision"]


@pytest.fixture(scope="module")
def grants(stack: Stack) -> Grants:
    return Grants(stack)


@pytest.fixture(scope="module")
def awarded(grants: Grants) -> str:
    run = grants.start()
    grants.register(run)
    for name, score in zip(VOTERS, (90, 80, 85), strict=True):
        grants.vote(run, name, score=score)
    assert grants.author.finished(run)["status"] == "completed"
    return run


def test_award_follows_votes_when_committee_approves(grants: Grants, awarded: str) -> None:
    run = grants.author.run(awarded)
    output = run["output_data"]
    assert output["award_status"] == "awarded"
    assert output["final_score"] == pytest.approx(0.4 * 84.2 + 0.6 * (90 + 80 + 85) / 3)
    assert output["award_amount"] == 50_000
    assert output["application_id"] == APPLICATION_ID
    assert run["total_steps"] == run["completed_steps"] == 5
    assert run["execution_summary"]["performance_grade"] == "A+"
    assert [step["step_key"] for step in run["steps"]] == STEPS


def test_rows_agree_with_the_api_when_the_run_is_completed(stack: Stack, awarded: str) -> None:
    rows = stack.rows("select * from universal_transactions where id = $1", UUID(awarded))
    assert len(rows) == 1
    assert rows[0]["transaction_type"] == "PLAYBOOK_RUN"
    assert rows[0]["transaction_status"] == "completed"
    assert rows[0]["total_amount"] == Decimal("53.00")
    assert rows[0]["smart_code"] == "HERA.PUBLICSECTOR.PLAYBOOK.RUN.GRANTS_INTAKE.V1"
    lines = stack.rows(
        "select * from universal_transaction_lines where transaction_id = $1 and line_type = 'step_execution'"
        " order by line_number",
        UUID(awarded),
    )
    assert [line["line_number"] for line in lines] == [1, 2, 3, 4, 5]
    assert [line["line_amount"] for line in lines] == [Decimal(n) for n in (25, 2, 8, 15, 3)]
    for line in lines:
        data = line["line_data"]
        assert data["input"] is not None
        assert data["output"] is not None
        assert data["started_at"]
        assert data["completed_at"]
    assert lines[2]["ai_confidence"] == Decimal("0.8700")


def test_event_chain_is_gapless_and_hashed_when_the_run_is_completed(stack: Stack, awarded: str) -> None:
    events = stack.rows(
        "select line_number, line_data from universal_transaction_lines where transaction_id = $1"
        " and line_type = 'run_event' order by line_number",
        UUID(awarded),
    )
    assert [event["line_number"] for event in events] == list(range(1_000_001, 1_000_001 + len(events)))
    hashes = [event["line_data"]["hash"] for event in events]
    assert [event["line_data"]["previous_hash"] for event in events][1:] == hashes[:-1]
    assert len(set(hashes)) == len(hashes) > 15


def test_history_shows_each_step_when_the_run_is_completed(stack: Stack, awarded: str) -> None:
    workflow = f"playbook-run/{stack.organization_id}/{awarded}"
    shown = json.loads(stack.temporal_cli("workflow", "show", "-w", workflow, "--output", "json"))
    kinds = [event["eventType"] for event in shown["events"]]
    assert kinds[-1] == "EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED"
    scheduled = [
        event["activityTaskScheduledEventAttributes"]["activityType"]["name"]
        for event in shown["events"]
        if event["eventType"] == "EVENT_TYPE_ACTIVITY_TASK_SCHEDULED"
    ]
    assert scheduled.count("announce_task") == 2
    assert scheduled.count("ai") == 1
    assert "STEM Learning Lab" not in json.dumps(shown), "payloads are encrypted"


def test_sensitive_values_are_hidden_when_the_reader_may_not_see_them(
    stack: Stack, grants: Grants, awarded: str
) -> None:
    plain = stack.client("olaf", permissions="runs:read")
    assert plain.run(awarded, "steps")["input_data"]["tax_id"] == "***"
    assert grants.author.run(awarded)["input_data"]["tax_id"] == "12-3456789"
    dumped = json.dumps(stack.rows("select * from universal_transactions where id = $1", UUID(awarded)), default=str)
    dumped += json.dumps(
        stack.rows("select line_data from universal_transaction_lines where transaction_id = $1", UUID(awarded))
    )
    assert "12-3456789" not in dumped


def test_run_is_denied_when_the_applicant_is_screened_out(grants: Grants) -> None:
    run_id = grants.start(applicant_type="tribal")
    grants.register(run_id)
    run = grants.author.finished(run_id)
    assert run["status"] == "completed"
    assert run["output_data"]["award_status"] == "denied"
    by_key: dict[str, Any] = {step["step_key"]: step for step in run["steps"]}
    for key in ("score_proposal", "committee_review"):
        assert by_key[key]["status"] == "skipped"
        assert by_key[key]["reason"]
    assert run["execution_summary"]["cost"] == 30.0
    assert run["skipped_steps"] == 2


def test_run_is_denied_when_the_committee_rejects(grants: Grants) -> None:
    run_id = grants.start()
    grants.register(run_id)
    for name in ("r1", "r2", "r3", "r4", "r5"):
        grants.vote(run_id, name, "reject")
        if grants.author.run(run_id)["status"] == "completed":
            break
    run = grants.author.finished(run_id)
    assert run["status"] == "completed"
    assert run["output_data"]["award_status"] == "denied"


def test_run_fails_when_the_registration_is_rejected(grants: Grants) -> None:
    run_id = grants.start()
    grants.register(run_id, "reject")
    run = grants.author.finished(run_id)
    assert run["status"] == "failed"
    assert run["error_details"]["kind"] == "business_rule"


def test_decisions_are_refused_when_rules_forbid_them(stack: Stack, grants: Grants) -> None:
    run = grants.start()
    grants.register(run)
    member = grants.member("vera")
    task = member.task(run, "Committee Review")
    bad_form = member.decide(task, data={"score": 101})
    assert (bad_form.status_code, bad_form.json()["code"]) == (422, "CONTRACT_VALIDATION_FAILED")
    assert bad_form.json()["errors"][0]["pointer"] == "/data/score"
    grants.vote(run, "vera")
    refusals = [
        (member, 409, "ALREADY_DECIDED"),
        (stack.client("irma", "intake_specialist", "committee_member"), 403, "SELF_APPROVAL"),
        (stack.client("paula", "committee_member"), 403, "SELF_APPROVAL"),
        (stack.client("olga", "somebody"), 403, "NOT_ELIGIBLE"),
    ]
    for client, status, code in refusals:
        answer = client.decide(task, data={"score": 50})
        assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    view = member.get(f"/tasks/{task['task_id']}").json()["data"]
    assert (view["approvals_received"], view["state"]) == (1, "open")
    timeline = grants.author.run(run)["timeline"]
    codes = [event["data"].get("code") for event in timeline if event["kind"] == "decision_refused"]
    assert codes == ["CONTRACT_VALIDATION_FAILED", "ALREADY_DECIDED", "SELF_APPROVAL", "SELF_APPROVAL", "NOT_ELIGIBLE"]


def test_run_completes_when_approvers_use_temporal_signals(stack: Stack, grants: Grants) -> None:
    run = grants.start()
    grants.specialist.task(run, "Register Application")
    form = {"application_id": APPLICATION_ID, "complete": True}
    irma = {"sub": "irma", "roles": ["intake_specialist"]}
    stack.signal(run, "decide", "nonsense")
    stack.signal(run, "decide", {"step": "register_application", "decision": "approve", "data": form, "actor": irma})
    for name in VOTERS:
        voter = {"sub": name, "roles": ["committee_member"]}
        grants.member(name).task(run, "Committee Review")
        body = {"step": "committee_review", "decision": "approve", "data": {"score": 90}, "actor": voter}
        stack.signal(run, "decide", body)
    finished = grants.author.finished(run)
    assert finished["output_data"]["award_status"] == "awarded"
    kinds = [event["kind"] for event in finished["timeline"]]
    assert kinds.count("message_refused") == 1
    decided = [event for event in finished["timeline"] if event["kind"] == "decision_made"]
    assert {event["actor"]["via"] for event in decided} == {"temporal"}


def test_ticket_carries_identity_when_a_signal_brings_it(stack: Stack, grants: Grants) -> None:
    run = grants.start()
    task = grants.specialist.task(run, "Register Application")
    ticket = grants.specialist.post(f"/tasks/{task['task_id']}/ticket").json()["data"]["ticket"]
    form = {"application_id": APPLICATION_ID, "complete": True}
    stack.signal(run, "decide", {"task_id": task["task_id"], "decision": "approve", "data": form, "ticket": ticket})
    grants.member("vera").task(run, "Committee Review")
    decided = [event for event in grants.author.run(run)["timeline"] if event["kind"] == "decision_made"]
    assert decided[0]["actor"]["via"] == "ticket"


def test_cancelled_run_closes_as_canceled_when_it_is_deleted(stack: Stack, grants: Grants) -> None:
    run = grants.start()
    grants.specialist.task(run, "Register Application")
    answer = grants.author.delete(f"/playbooks/runs/{run}", params={"reason": "withdrawn"})
    assert answer.status_code in (200, 202), answer.text
    assert grants.author.finished(run)["status"] == "cancelled"
    workflow = f"playbook-run/{stack.organization_id}/{run}"

    def status() -> str:
        shown = json.loads(stack.temporal_cli("workflow", "describe", "-w", workflow, "--output", "json"))
        return shown["workflowExecutionInfo"]["status"]

    assert status() in ("WORKFLOW_EXECUTION_STATUS_CANCELED", "WORKFLOW_EXECUTION_STATUS_RUNNING")
    again = grants.author.delete(f"/playbooks/runs/{run}")
    assert (again.status_code, again.json()["code"]) == (409, "ALREADY_CANCELLED")


def test_repeat_finds_the_first_run_when_the_idempotency_key_is_the_same(grants: Grants) -> None:
    playbook = grants.playbook()
    body = {"input_data": grants_input()}
    headers = {"Idempotency-Key": "application-77"}
    first = grants.author.post(f"/playbooks/{playbook}/execute", body, headers=headers)
    second = grants.author.post(f"/playbooks/{playbook}/execute", body, headers=headers)
    assert first.json()["data"]["execution_id"] == second.json()["data"]["execution_id"]
    body["input_data"]["amount_requested"] = 6000
    third = grants.author.post(f"/playbooks/{playbook}/execute", body, headers=headers)
    assert (third.status_code, third.json()["code"]) == (422, "IDEMPOTENCY_KEY_REUSED")


def grants_input() -> Any:
    from tests.support.stack import example

    return example("grants-intake.input.json")


def test_second_organization_sees_nothing_when_it_asks_for_ids_of_the_first(
    stack: Stack, grants: Grants, awarded: str
) -> None:
    stack.make_organization("other")
    roles = ("committee_member", "intake_specialist")
    stranger = stack.client("vera", *roles, organization="other")
    run = grants.start()
    task = grants.specialist.task(run, "Register Application")["task_id"]
    playbook = grants.playbook()
    calls = [
        ("GET", f"/playbooks/runs/{awarded}", None),
        ("GET", f"/playbooks/runs/{awarded}/timeline", None),
        ("GET", f"/playbooks/{playbook}", None),
        ("GET", f"/playbooks/{playbook}/publish", None),
        ("POST", f"/playbooks/{playbook}/execute", {"input_data": grants_input()}),
        ("PUT", f"/playbooks/{playbook}/publish", {"action": "deprecate", "reason": "x"}),
        ("PUT", f"/playbooks/runs/{run}", {"action": "pause"}),
        ("DELETE", f"/playbooks/runs/{run}", None),
        ("GET", f"/tasks/{task}", None),
        ("POST", f"/tasks/{task}/claim", {}),
        ("POST", f"/tasks/{task}/ticket", {}),
        ("POST", f"/tasks/{task}/decisions", {"decision": "approve"}),
    ]
    for method, path, body in calls:
        answer = stranger.request(method, path, **({} if body is None else {"json": body}))
        assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND"), (method, path, answer.text)
    for path in ("/playbooks/runs", "/tasks", "/playbooks"):
        assert stranger.get(path).json()["total"] == 0

"""Promises for the case that something breaks: processes are killed, stopped and started again."""

from __future__ import annotations

import json
from uuid import UUID

from tests.support.grants import VOTERS, Grants
from tests.support.stack import Stack
from tests.support.waiting import wait_until


def test_paused_run_goes_on_where_it_was_when_everything_was_restarted(own_stack: Stack) -> None:
    grants = Grants(own_stack)
    run = grants.start()
    grants.register(run)
    grants.vote(run, VOTERS[0])
    own_stack.signal(run, "pause", {"reason": "the quarter ends"})
    wait_until(lambda: grants.author.run(run)["status"] == "paused", 10, "the run to pause")
    kept = grants.member(VOTERS[1])
    answer = kept.decide(kept.task(run, "Committee Review"), data={"score": 70})
    assert answer.status_code == 202, answer.text
    own_stack.stop()
    own_stack.start()
    assert grants.author.run(run)["status"] == "paused"
    own_stack.signal(run, "resume", {})
    wait_until(lambda: grants.author.run(run)["status"] == "in_progress", 20, "the run to resume")
    grants.vote(run, VOTERS[2])
    finished = grants.author.finished(run)
    assert finished["output_data"]["award_status"] == "awarded"
    votes = [event["actor"]["name"] for event in finished["timeline"] if event["kind"] == "decision_made"]
    assert votes[1:] == list(VOTERS)


def test_accepted_run_completes_when_temporal_was_away(own_stack: Stack) -> None:
    grants = Grants(own_stack)
    playbook = grants.playbook()
    assert own_stack.temporal is not None
    own_stack.temporal.stop()
    body = {"input_data": {**_input(), "applicant_type": "tribal"}}
    answer = grants.author.post(f"/playbooks/{playbook}/execute", body)
    assert answer.status_code == 202, answer.text
    assert answer.json()["data"]["status"] == "queued"
    run = answer.json()["data"]["execution_id"]
    assert grants.author.run(run)["status"] == "queued"
    own_stack.start_temporal()
    grants.register(run)
    assert grants.author.finished(run)["output_data"]["award_status"] == "denied"


def test_run_goes_on_and_rows_catch_up_when_the_database_was_away(own_stack: Stack) -> None:
    grants = Grants(own_stack)
    run = grants.start()
    grants.specialist.task(run, "Register Application")
    assert own_stack.postgres is not None
    own_stack.postgres.stop()
    form = {"application_id": "APP-2025-0A1B2C3D", "complete": True}
    irma = {"sub": "irma", "roles": ["intake_specialist"]}
    own_stack.signal(
        run, "decide", {"step": "register_application", "decision": "approve", "data": form, "actor": irma}
    )
    # Its decision is made, and the worker has tried more than once to write what came of it.
    wait_until(lambda: _attempts(own_stack, run) >= 3, 60, "the flush to be tried again")
    own_stack.start_postgres()
    for name in VOTERS:
        grants.vote(run, name)
    assert grants.author.finished(run)["output_data"]["award_status"] == "awarded"


def test_run_completes_once_when_the_worker_is_killed_in_mid_run(own_stack: Stack) -> None:
    grants = Grants(own_stack)
    runs = [grants.start() for _ in range(4)]
    for run in runs:
        grants.specialist.task(run, "Register Application")
    own_stack.kill(own_stack.worker)
    own_stack.start_worker()
    for run in runs:
        grants.register(run)
        if run == runs[1]:
            own_stack.kill(own_stack.worker)
            own_stack.start_worker()
    for run in runs:
        for name in VOTERS:
            grants.vote(run, name)
    for run in runs:
        assert grants.author.finished(run)["status"] == "completed"
        lines = own_stack.rows(
            "select line_number from universal_transaction_lines where transaction_id = $1"
            " and line_type = 'step_execution'",
            UUID(run),
        )
        assert len(lines) == 5


def _attempts(stack: Stack, run: str) -> int:
    """How often the pending activity of this run was tried."""
    workflow = f"playbook-run/{stack.organization_id}/{run}"
    described = json.loads(stack.temporal_cli("workflow", "describe", "-w", workflow, "--output", "json"))
    return max((each.get("attempt", 1) for each in described.get("pendingActivities", [])), default=0)


def _input() -> dict[str, object]:
    from tests.support.stack import example

    return example("grants-intake.input.json")

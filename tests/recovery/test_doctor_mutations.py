"""Each mutation of rows or histories of a real service is found by its own code; a clean service yields no finding."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Generator
from uuid import UUID

import pytest

from tests.recovery.doctoring import Patient, make_patient
from tests.support.servers import scratch_folder
from tests.support.stack import running_stack
from tests.support.waiting import wait_until

_LINES = "universal_transaction_lines"
_STEP = f"{_LINES} WHERE transaction_id = $1 AND line_type = 'step_execution'"
_VOTE = """jsonb_build_array(jsonb_build_object('actor', jsonb_build_object('id', gen_random_uuid(), 'name', 'Mallory',
    'roles', '[]'::jsonb), 'choice', 'approve', 'at', '2026-01-01T00:00:00Z'))"""

MUTATIONS = {
    "deleted line": ("LINE_MISSING", f"DELETE FROM {_STEP} AND line_number = 2"),
    "deleted run row": ("ROW_MISSING", "DELETE FROM universal_transactions WHERE id = $1"),
    "deleted run row leaves lines": ("FOREIGN_LINE", "DELETE FROM universal_transactions WHERE id = $1"),
    "changed status": (
        "STATUS_DIFFERS",
        "UPDATE universal_transactions SET transaction_status = 'cancelled' WHERE id = $1",
    ),
    "changed status against result": (
        "RESULT_STATUS_DIFFERS",
        "UPDATE universal_transactions SET transaction_status = 'cancelled' WHERE id = $1",
    ),
    "changed step status": (
        "LINE_STATUS_DIFFERS",
        f"""UPDATE {_LINES} SET line_data = jsonb_set(line_data, '{{status}}', '"skipped"')
        WHERE transaction_id = $1 AND line_number = 1""",
    ),
    "changed cost": ("COST_DIFFERS", "UPDATE universal_transactions SET total_amount = 1 WHERE id = $1"),
    "changed cost of a line": (
        "LINE_COST_DIFFERS",
        f"UPDATE {_LINES} SET line_amount = 1 WHERE transaction_id = $1 AND line_number = 1",
    ),
    "changed cost of a line against result": (
        "RESULT_DIGEST_DIFFERS",
        f"UPDATE {_LINES} SET line_amount = 1 WHERE transaction_id = $1 AND line_number = 1",
    ),
    "changed seq": ("SEQ_DIFFERS", "UPDATE universal_transactions SET version = version + 1 WHERE id = $1"),
    "forged vote": (
        "VOTE_FORGED",
        f"""UPDATE {_LINES} SET line_data = jsonb_set(line_data, '{{task,votes}}',
        line_data #> '{{task,votes}}' || {_VOTE})
        WHERE transaction_id = $1 AND line_number = 4""",
    ),
    "deleted vote": (
        "VOTE_MISSING",
        f"""UPDATE {_LINES} SET line_data = line_data #- '{{task,votes,0}}'
        WHERE transaction_id = $1 AND line_number = 4""",
    ),
    "reordered events": (
        "EVENT_ORDER",
        f"""UPDATE {_LINES} l SET line_data = o.line_data FROM {_LINES} o
        WHERE l.transaction_id = $1 AND o.transaction_id = $1 AND l.line_number IN (1000004, 1000005)
        AND o.line_number = 2000009 - l.line_number""",
    ),
    "changed event data": (
        "EVENT_HASH_BROKEN",
        f"""UPDATE {_LINES} SET line_data = jsonb_set(line_data, '{{data}}', '{{"forged": true}}')
        WHERE transaction_id = $1 AND line_number = 1000003""",
    ),
    "changed hash": (
        "EVENT_LINK_BROKEN",
        f"""UPDATE {_LINES} SET line_data = jsonb_set(line_data, '{{hash}}', to_jsonb(repeat('a', 64)))
        WHERE transaction_id = $1 AND line_number = 1000003""",
    ),
    "deleted event": ("EVENT_GAP", f"DELETE FROM {_LINES} WHERE transaction_id = $1 AND line_number = 1000003"),
    "deleted last event": (
        "TRAIL_CUT",
        f"""DELETE FROM {_LINES} WHERE transaction_id = $1 AND line_number = (
        SELECT max(line_number) FROM {_LINES} WHERE transaction_id = $1)""",
    ),
    "deleted last event against flushes": (
        "EVENT_MISSING",
        f"""DELETE FROM {_LINES} WHERE transaction_id = $1 AND line_number = (
        SELECT max(line_number) FROM {_LINES} WHERE transaction_id = $1)""",
    ),
    "line of a step that never ran": (
        "LINE_OF_STEP_NEVER_RUN",
        f"""INSERT INTO {_LINES} (id, organization_id, transaction_id, line_number, line_type, smart_code, line_amount,
        version, line_data) SELECT gen_random_uuid(), organization_id, transaction_id, 99, line_type, smart_code, 0, 1,
        jsonb_set(line_data, '{{key}}', '"never"') FROM {_STEP} AND line_number = 1""",
    ),
}


@pytest.fixture(scope="module")
def patient() -> Generator[Patient]:
    with scratch_folder() as folder, running_stack(folder) as stack:
        yield make_patient(stack)


def test_nothing_is_found_when_the_service_is_clean(patient: Patient) -> None:
    code, report = patient.doctor()
    assert report["differences"] == []
    assert code == 0
    assert (report["runs"], report["fresh"], report["expired"]) == (3, 0, 0)
    assert report["organizations"] == 2


def test_only_the_named_run_is_examined(patient: Patient) -> None:
    _, report = patient.doctor("--org", "demo", "--run", patient.failed)
    assert (report["runs"], report["differences"]) == (1, [])


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_difference_is_found_when_rows_are_spoiled(patient: Patient, mutation: str) -> None:
    code, statement = MUTATIONS[mutation]
    with patient.spoiled(statement, UUID(patient.completed)):
        exit_code, report = patient.found()
    found = [each for each in report["differences"] if each["code"] == code]
    assert found, report
    assert found[0]["execution_id"] == patient.completed
    assert exit_code == 1


def test_attempt_is_missed_when_a_retry_is_taken_out_of_its_line(patient: Patient) -> None:
    statement = f"""UPDATE {_LINES} SET line_data = line_data #- '{{attempts,0}}'
        WHERE transaction_id = $1 AND line_number = 1"""
    with patient.spoiled(statement, UUID(patient.failed)):
        assert {"ATTEMPT_MISSING", "LINE_ATTEMPTS_DIFFER"} <= patient.codes()


def test_foreign_line_is_found_when_it_names_another_organization(patient: Patient) -> None:
    statement = f"UPDATE {_LINES} SET organization_id = $2 WHERE transaction_id = $1 AND line_number = 1"
    with patient.spoiled(statement, UUID(patient.completed), patient.stranger):
        assert {"FOREIGN_LINE", "LINE_MISSING"} <= patient.codes()


def test_foreign_task_is_found_when_it_names_another_organization(patient: Patient) -> None:
    statement = "UPDATE core_entities SET organization_id = $2 WHERE entity_type = 'playbook_task' AND entity_code = $1"
    with patient.spoiled(statement, patient.completed, patient.stranger):
        assert {"FOREIGN_TASK", "FOREIGN_RELATIONSHIP"} <= patient.codes()


def test_waiting_run_is_found_when_its_row_is_finished(patient: Patient) -> None:
    statement = "UPDATE universal_transactions SET transaction_status = 'completed' WHERE id = $1"
    with patient.spoiled(statement, UUID(patient.waiting)):
        assert "STATUS_DIFFERS" in patient.codes()


def test_command_exits_with_2_when_the_database_is_not_there(patient: Patient) -> None:
    away = {"PLAYBOOK_DATABASE_URL": "postgresql://playbook_service:x@127.0.0.1:1/none"}
    command = [sys.executable, "-m", "cli.main", "doctor"]
    environment = {**patient.stack.environment, **away}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stdout + done.stderr


def test_mutations_are_undone(patient: Patient) -> None:
    assert patient.doctor()[1]["differences"] == []


def test_workflow_is_missed_when_it_is_deleted_in_temporal(patient: Patient) -> None:
    workflow = f"playbook-run/{patient.stack.organization_id}/{patient.completed}"
    patient.stack.temporal_cli("workflow", "delete", "--yes", "-w", workflow)
    # Temporal confirms a deletion some time before it happens.
    wait_until(lambda: "WORKFLOW_MISSING" in patient.codes(), 120, "Temporal to delete the workflow", every=0.5)

"""Runs are repaired after somebody took their workflow, or their rows, away from outside."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest

from storage.runs.audit_trail import EventRow, is_intact
from tests.support.grants import VOTERS, Grants
from tests.support.stack import Stack
from tests.support.waiting import wait_until

TABLES = ("universal_transactions", "universal_transaction_lines", "core_entities")
SOON = 40
"""Seconds: a row is fresh for 5, a round comes every 5, and what is missing is looked at for 12."""


@dataclass(frozen=True, kw_only=True)
class Taken:
    """Runs whose workflow, or whose rows, somebody took away. `before`: the restored run as it had ended."""

    terminated: str
    task: str
    deleted: str
    restored: str
    before: dict[str, Any]


@pytest.fixture(scope="module")
def taken(stack: Stack) -> Taken:
    """All of them at once, so that the reconciler's rounds are waited for once."""
    grants = Grants(stack)
    terminated, deleted, restored = registered(grants), registered(grants), registered(grants)
    task = grants.member(VOTERS[0]).task(terminated, "Committee Review")
    with backup_of(stack, restored) as statements:
        for name in VOTERS:
            grants.vote(restored, name)
        before = grants.author.finished(restored)
        stack.temporal_cli("workflow", "terminate", "-w", workflow_of(stack, terminated), "--reason", "by mistake")
        stack.temporal_cli("workflow", "delete", "-w", workflow_of(stack, deleted), "--yes")
        restore(stack, statements)
        assert grants.author.run(restored)["status"] == "in_progress"
    return Taken(terminated=terminated, task=task["task_id"], deleted=deleted, restored=restored, before=before)


@pytest.fixture
def grants(stack: Stack) -> Grants:
    return Grants(stack)


def workflow_of(stack: Stack, run: str) -> str:
    return f"playbook-run/{stack.organization_id}/{run}"


def registered(grants: Grants) -> str:
    """A run whose committee may vote."""
    run = grants.start()
    grants.register(run)
    grants.member(VOTERS[0]).task(run, "Committee Review")
    return run


def condition(table: str, run: str) -> str:
    """Which rows of a table belong to the run."""
    column = {"universal_transactions": "id::text", "universal_transaction_lines": "transaction_id::text"}
    return f"{column.get(table, 'entity_code')} = '{UUID(run)}'"


@contextmanager
def backup_of(stack: Stack, run: str) -> Generator[list[str]]:
    """Copies of the run's rows as they are now; the statements that bring them back."""
    names = {table: f"backup_{table}_{UUID(run).hex}" for table in TABLES}
    for table, name in names.items():
        stack.rows(f"CREATE TABLE {name} AS SELECT * FROM {table} WHERE {condition(table, run)}")
    back = [f"DELETE FROM {table} WHERE {condition(table, run)}" for table in reversed(TABLES)]
    yield [*back, *(f"INSERT INTO {table} SELECT * FROM {name}" for table, name in names.items())]
    for name in names.values():
        stack.rows(f"DROP TABLE {name}")


def restore(stack: Stack, statements: list[str]) -> None:
    block = ";\n".join(statements)
    stack.rows(f"DO $$ BEGIN SET LOCAL session_replication_role = replica; {block}; END $$")


def trail_of(stack: Stack, run: str) -> list[dict[str, Any]]:
    query = """SELECT line_data FROM universal_transaction_lines
        WHERE transaction_id = $1 AND line_type = 'run_event' ORDER BY line_number"""
    return [row["line_data"] for row in stack.rows(query, UUID(run))]


def assert_intact(stack: Stack, run: str) -> list[str]:
    """The trail has no gap and its hashes hold; its kinds."""
    from storage.database import json_columns

    entries = trail_of(stack, run)
    rows = tuple(
        EventRow(
            **{name: entry[name] for name in ("number", "kind", "step", "data", "source_number", "previous_hash")},
            hash=entry["hash"],
            at=json_columns.instant_from_json(entry["at"]),  # pyright: ignore[reportArgumentType]
            actor=json_columns.actor_from_json(entry["actor"]),
        )
        for entry in entries
    )
    assert is_intact(UUID(run), rows)
    return [entry["kind"] for entry in entries]


def test_row_is_cancelled_when_the_workflow_is_terminated(stack: Stack, grants: Grants, taken: Taken) -> None:
    run = taken.terminated
    ended = grants.author.finished(run, SOON)
    assert (ended["status"], ended["cancel_reason"]) == ("cancelled", "its workflow was terminated in Temporal")
    assert {step["status"] for step in ended["steps"]} == {"completed", "cancelled"}
    assert grants.member(VOTERS[0]).get(f"/tasks/{taken.task}").json()["data"]["state"] == "cancelled"
    assert assert_intact(stack, run)[-1] == "run_cancelled"


def test_run_is_failed_as_lost_when_temporal_does_not_know_it(stack: Stack, grants: Grants, taken: Taken) -> None:
    run = taken.deleted
    ended = grants.author.finished(run, SOON)
    assert (ended["status"], ended["error_details"]["code"]) == ("failed", "RUN_LOST")
    assert assert_intact(stack, run)[-1] == "run_lost"
    assert not [step for step in ended["steps"] if step["status"] in ("in_progress", "waiting")]
    alerts = "SELECT 1 FROM universal_transactions WHERE reference_number = $1 AND transaction_status = 'undelivered'"
    assert stack.rows(alerts, f"run_lost:{run}")
    other = registered(grants)
    assert grants.author.run(other)["status"] == "in_progress"


def test_rows_catch_up_when_a_backup_is_restored_under_a_live_run(stack: Stack, grants: Grants) -> None:
    run = grants.start()
    grants.specialist.task(run, "Register Application")
    with backup_of(stack, run) as statements:
        grants.register(run)
        grants.vote(run, VOTERS[0])
        before = [entry["hash"] for entry in trail_of(stack, run)]
        restore(stack, statements)
        assert len(trail_of(stack, run)) < len(before)
        # The committee's task is gone with the rows; its members' clients know it, and Temporal does.
        vote: dict[str, Any] = {"step": "committee_review", "decision": "approve", "data": {"score": 90}}
        for name in VOTERS[1:]:
            stack.signal(run, "decide", {**vote, "actor": {"sub": name, "roles": ["committee_member"]}})
        ended = grants.author.finished(run, SOON)
    assert ended["output_data"]["award_status"] == "awarded"
    assert [step["status"] for step in ended["steps"]] == ["completed"] * 5
    assert assert_intact(stack, run).count("decision_made") == 4
    assert [entry["hash"] for entry in trail_of(stack, run)][: len(before)] == before


def test_row_is_finished_when_a_backup_is_restored_after_the_end(stack: Stack, grants: Grants, taken: Taken) -> None:
    run, before = taken.restored, taken.before
    after = grants.author.finished(run, SOON)
    same = ("status", "output_data", "steps", "timeline", "completed_at", "execution_summary")
    assert {name: after.get(name) for name in same} == {name: before.get(name) for name in same}
    assert_intact(stack, run)


def test_steps_are_taken_back_when_a_live_run_is_reset(stack: Stack, grants: Grants) -> None:
    run = registered(grants)
    grants.vote(run, VOTERS[0])
    reset = ("workflow", "reset", "-w", workflow_of(stack, run), "--type", "FirstWorkflowTask", "--reason", "again")
    stack.temporal_cli(*reset, "--reapply-exclude", "All", "--yes")

    def statuses() -> dict[str, str]:
        return {step["step_name"]: step["status"] for step in grants.author.run(run)["steps"]}

    wait_until(lambda: statuses().get("Committee Review") in (None, "pending"), 20, "the vote to be taken back")
    assert "waiting" in statuses().values()
    assert grants.author.run(run)["execution_summary"]["total_cost"] == 0
    grants.register(run)
    for name in VOTERS:
        grants.vote(run, name)
    ended = grants.author.finished(run)
    assert ended["output_data"]["award_status"] == "awarded"
    assert [step["status"] for step in ended["steps"]] == ["completed"] * 5
    assert_intact(stack, run)


@pytest.mark.parametrize(
    ("reapply", "closes_as"),
    [
        pytest.param(("--reapply-exclude", "All"), {"CANCELED"}, id="anew"),
        # With its votes it may be through before it learns that the run is over.
        pytest.param((), {"CANCELED", "COMPLETED"}, id="with its votes"),
    ],
)
def test_finished_run_stays_as_it_is_when_its_workflow_is_reset(
    stack: Stack, grants: Grants, reapply: tuple[str, ...], closes_as: set[str]
) -> None:
    run = registered(grants)
    for name in VOTERS:
        grants.vote(run, name)
    before = grants.author.finished(run)
    workflow = workflow_of(stack, run)
    reset = ("workflow", "reset", "-w", workflow, "--type", "FirstWorkflowTask", "--reason", "x")
    stack.temporal_cli(*reset, *reapply, "--yes")

    def has_closed() -> bool:
        described = stack.temporal_cli("workflow", "describe", "-w", workflow)
        status = next((line.split()[1] for line in described.splitlines() if line.split()[:1] == ["Status"]), "")
        return "LastResetTime" in described and status in closes_as

    wait_until(has_closed, SOON, "the second execution to close")
    after = grants.author.run(run)
    assert (after["status"], after["output_data"], after["steps"]) == (
        "completed",
        before["output_data"],
        before["steps"],
    )

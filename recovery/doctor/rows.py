"""Reads the facts of a run from its rows, and finds rows that refer to another organization's.

Must share nothing with the code that writes these rows; docs/tables.md describes them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

from sqlalchemy import func, select, text

from playbooks.common.values import JsonObject
from recovery.doctor.facts import Difference, EventRow, RowFacts, StepFact, StepName
from storage.database.sessions import ReadSession
from storage.database.tables import lines, transactions

_FOREIGN_ROWS = {
    "FOREIGN_LINE": """
        SELECT l.id, l.transaction_id AS named FROM universal_transaction_lines l
        WHERE l.line_type IN ('step_execution', 'step_payload', 'run_label', 'run_event')
        AND NOT EXISTS (SELECT 1 FROM universal_transactions t WHERE t.id = l.transaction_id)""",
    "FOREIGN_PLAYBOOK": """
        SELECT t.id, t.target_entity_id AS named FROM universal_transactions t
        WHERE t.transaction_type = 'PLAYBOOK_RUN' AND t.metadata ? 'step_statuses'
        AND NOT EXISTS (SELECT 1 FROM core_entities e WHERE e.id = t.target_entity_id)""",
    "FOREIGN_STEP": """
        SELECT l.id, l.entity_id AS named FROM universal_transaction_lines l
        WHERE l.line_type = 'step_execution' AND l.entity_id IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM core_entities e WHERE e.id = l.entity_id)""",
    "FOREIGN_TASK": """
        SELECT k.id, k.entity_code AS named FROM core_entities k WHERE k.entity_type = 'playbook_task'
        AND NOT EXISTS (SELECT 1 FROM universal_transactions t WHERE t.id::text = k.entity_code)""",
    "FOREIGN_FIELD": """
        SELECT d.id, d.entity_id AS named FROM core_dynamic_data d
        WHERE d.smart_code LIKE 'HERA.%.PLAYBOOK.%'
        AND NOT EXISTS (SELECT 1 FROM core_entities e WHERE e.id = d.entity_id)""",
    "FOREIGN_RELATIONSHIP": """
        SELECT r.id, r.from_entity_id::text || ' to ' || r.to_entity_id::text AS named FROM core_relationships r
        WHERE r.relationship_type IN ('playbook_has_step', 'step_depends_on', 'playbook_version_of', 'task_of_step')
        AND (NOT EXISTS (SELECT 1 FROM core_entities e WHERE e.id = r.from_entity_id)
        OR NOT EXISTS (SELECT 1 FROM core_entities e WHERE e.id = r.to_entity_id))""",
}
"""Queries for rows that refer to a row which their organization cannot see: row-level security hides foreign ones."""


async def list_runs(session: ReadSession) -> tuple[UUID, ...]:
    """List every run of the organization."""
    found = await session.connection.execute(select(transactions.c.id).where(_is_run(session)))
    return tuple(found.scalars())


async def find_foreign_rows(session: ReadSession) -> tuple[Difference, ...]:
    """Find rows of this organization that refer to a row which it does not have."""
    found: list[Difference] = []
    for code, query in _FOREIGN_ROWS.items():
        for row in (await session.connection.execute(text(query))).mappings():
            found.append(
                Difference(
                    code=code,
                    organization_id=session.organization_id,
                    execution_id=row["named"] if isinstance(row["named"], UUID) and code == "FOREIGN_LINE" else None,
                    subject=f"row {row['id']}",
                    history="a row of the same organization",
                    rows=f"names {row['named']}",
                )
            )
    return tuple(found)


async def read_rows(session: ReadSession, execution_id: UUID) -> RowFacts | None:
    """Read the run's rows; None where the organization has no such run."""
    table = transactions.c
    statement = select(
        table.transaction_status,
        table.version,
        table.total_amount,
        func.greatest(table.created_at, table.updated_at).label("changed_at"),
        table.metadata,
    ).where(_is_run(session), table.id == execution_id)
    run = (await session.connection.execute(statement)).mappings().one_or_none()
    if run is None:
        return None
    metadata = _object(run["metadata"])
    head = _object(metadata.get("events"))
    of_run = (
        select(lines.c.line_number, lines.c.line_type, lines.c.line_amount, lines.c.version, lines.c.line_data)
        .where(lines.c.organization_id == session.organization_id, lines.c.transaction_id == execution_id)
        .where(lines.c.line_type.in_(("step_execution", "run_event")))
        .order_by(lines.c.line_number)
    )
    rows = (await session.connection.execute(of_run)).mappings().all()
    return RowFacts(
        status=run["transaction_status"],
        seq=run["version"] or 0,
        cost=run["total_amount"],
        changed_at=run["changed_at"],
        has_flushed=bool(metadata.get("temporal_run_ids")),
        head_count=_int(head.get("count")),
        head_hash=_text(head.get("hash")),
        metadata=metadata,
        steps=dict(_step(row) for row in rows if row["line_type"] == "step_execution"),
        events=tuple(
            EventRow(line_number=row["line_number"], entry=_object(row["line_data"]))
            for row in rows
            if row["line_type"] == "run_event"
        ),
    )


def _is_run(session: ReadSession) -> Any:
    mine = (transactions.c.organization_id == session.organization_id) & (
        transactions.c.transaction_type == "PLAYBOOK_RUN"
    )
    return mine & transactions.c.metadata.has_key("step_statuses")


def _step(row: Mapping[Any, Any]) -> tuple[StepName, StepFact]:
    data = _object(row["line_data"])
    attempts = {
        _int(item.get("number")): 1 + _int(item.get("lost")) + _int(item.get("not_started"))
        for item in _objects(data.get("attempts"))
    }
    votes = tuple(
        (str(_object(vote.get("actor")).get("id")), str(vote.get("choice")))
        for vote in _objects(_object(data.get("task")).get("votes"))
    )
    fact = StepFact(
        status=str(data.get("status")),
        seq=row["version"] or 0,
        cost=Decimal(row["line_amount"] or 0),
        attempts=attempts,
        votes=votes,
    )
    return (str(data.get("key")), _int(data.get("visit"))), fact


def _objects(value: object) -> Iterator[JsonObject]:
    if isinstance(value, list):
        for item in cast("list[Any]", value):
            yield _object(item)


def _object(value: Any) -> JsonObject:
    return cast("JsonObject", value) if isinstance(value, dict) else {}


def _int(value: object) -> int:
    return value if isinstance(value, int) else 0


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None

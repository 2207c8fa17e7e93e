"""Runs and the runs that their steps started, looked up where one may have to be told of the other.

Owns these questions, all inside one organization. Must not know Temporal. What they find may have been told already:
whoever tells it again changes nothing by that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import Boolean, func, literal_column, select

from playbooks.common.values import FINISHED_RUN
from playbooks.engine.model.temporal_messages import ParentRun
from storage.database import json_columns
from storage.database.sessions import ReadSession
from storage.database.tables import lines, transactions
from storage.runs.labels import PARENT_LABEL
from storage.runs.run_rows import get_run

_TABLE = transactions.c
_FINISHED = tuple(sorted(FINISHED_RUN))
_IS_LABEL = literal_column(f"({lines.name}.line_type = 'run_label')", Boolean())


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedChild:
    """A run that has ended, and the visit that waits for it by its parent's row."""

    execution_id: UUID
    parent: ParentRun


async def ended_children(session: ReadSession, parents: Sequence[UUID], grace: timedelta) -> tuple[EndedChild, ...]:
    """Runs that ended longer ago than `grace`, and that one of these runs still waits for."""
    statement = select(_TABLE.metadata["children"].label("children")).where(
        _TABLE.organization_id == session.organization_id,
        _TABLE.id.in_(parents),
        func.jsonb_array_length(func.coalesce(_TABLE.metadata["children"], func.jsonb_build_array())) > 0,
    )
    rows = (await session.connection.execute(statement)).mappings().all()
    waited_for = [UUID(str(child)) for row in rows for child in json_columns.as_list(row["children"])]
    found = [await get_run(session, child) for child in await _ended(session, waited_for, grace)]
    return tuple(EndedChild(execution_id=row.execution_id, parent=row.parent) for row in found if row.parent)


async def left_children(session: ReadSession, runs: Sequence[UUID], grace: timedelta) -> tuple[UUID, ...]:
    """Those of these runs whose parent waited for them and is over for longer than `grace`, and that nobody cancels."""
    labelled = select(lines.c.transaction_id, lines.c.description).where(
        lines.c.organization_id == session.organization_id,
        lines.c.transaction_id.in_(runs),
        _IS_LABEL,
        lines.c.description.startswith(PARENT_LABEL),
    )
    parents = {
        row["transaction_id"]: UUID(row["description"].removeprefix(PARENT_LABEL))
        for row in (await session.connection.execute(labelled)).mappings()
    }
    over = await _ended(session, list(parents.values()), grace)
    candidates = [await get_run(session, child) for child, parent in parents.items() if parent in over]
    return tuple(row.execution_id for row in candidates if row.parent and row.parent.waits and not row.cancel_reason)


async def _ended(session: ReadSession, runs: Sequence[UUID], grace: timedelta) -> tuple[UUID, ...]:
    if not runs:
        return ()
    statement = select(_TABLE.id).where(
        _TABLE.organization_id == session.organization_id,
        _TABLE.id.in_(runs),
        _TABLE.transaction_status.in_(_FINISHED),
        _TABLE.updated_at < func.now() - grace,
    )
    return tuple((await session.connection.execute(statement)).scalars())

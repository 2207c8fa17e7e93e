"""Runs and the runs that their steps started, found where one may have missed the end of the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import func, select

from playbooks.common.values import FINISHED_RUN
from playbooks.engine.model.temporal_messages import ParentRun
from storage.database import json_columns
from storage.database.sessions import ReadSession
from storage.database.tables import lines, transactions
from storage.runs.conditions import is_label
from storage.runs.labels import PARENT_LABEL
from storage.runs.run_json import CHILDREN
from storage.runs.run_rows import get_run

_TABLE = transactions.c


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedChild:
    """A run that has ended, and the visit of its parent's step that still waits for it."""

    execution_id: UUID
    parent: ParentRun


async def ended_children(session: ReadSession, parents: Sequence[UUID], grace: timedelta) -> tuple[EndedChild, ...]:
    """Runs that ended longer ago than `grace`, and that one of these runs still waits for."""
    statement = select(CHILDREN.label("children")).where(
        _TABLE.organization_id == session.organization_id,
        _TABLE.id.in_(parents),
        func.jsonb_array_length(CHILDREN) > 0,
    )
    rows = (await session.connection.execute(statement)).mappings().all()
    waited_for = [UUID(str(child)) for row in rows for child in json_columns.as_list(row["children"])]
    found = [await get_run(session, child) for child in await _ended(session, waited_for, grace)]
    return tuple(EndedChild(execution_id=row.execution_id, parent=row.parent) for row in found if row.parent)


async def orphaned_children(session: ReadSession, runs: Sequence[UUID], grace: timedelta) -> tuple[UUID, ...]:
    """Those of these runs that nobody cancels, and whose parent waited for them and ended longer ago than `grace`."""
    labelled = select(lines.c.transaction_id, lines.c.description).where(
        is_label(session.organization_id),
        lines.c.transaction_id.in_(runs),
        lines.c.description.startswith(PARENT_LABEL),
    )
    parents = {
        row["transaction_id"]: UUID(row["description"].removeprefix(PARENT_LABEL))
        for row in (await session.connection.execute(labelled)).mappings()
    }
    ended = await _ended(session, list(parents.values()), grace)
    candidates = [await get_run(session, child) for child, parent in parents.items() if parent in ended]
    return tuple(row.execution_id for row in candidates if row.parent and row.parent.waits and not row.cancel_reason)


async def _ended(session: ReadSession, runs: Sequence[UUID], grace: timedelta) -> tuple[UUID, ...]:
    if not runs:
        return ()
    statement = select(_TABLE.id).where(
        _TABLE.organization_id == session.organization_id,
        _TABLE.id.in_(runs),
        _TABLE.transaction_status.in_(sorted(FINISHED_RUN)),
        _TABLE.updated_at < func.now() - grace,
    )
    return tuple((await session.connection.execute(statement)).scalars())

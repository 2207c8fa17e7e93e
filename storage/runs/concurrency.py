"""Which runs of one key may go on: those that fewer than `max_runs` unfinished ones of it come before.

Owns that order and the questions about it. Must not know Temporal. Invariants: turns are derived from the rows of runs,
never counted anywhere; runs of a key enter one after the other, and the time at which each is accepted is later than
that of all before it, so nobody ever enters in front of one that was told to go on.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Boolean, Select, func, literal_column, select, text, tuple_

from playbooks.common.errors import DuplicateExecutionError
from playbooks.common.values import JsonObject
from playbooks.engine.model.temporal_messages import ConcurrencyLimit
from storage.database import json_columns
from storage.database.sessions import ReadSession, WriteSession
from storage.database.tables import lines, transactions
from storage.runs.labels import leave_slot

_UNFINISHED = ("queued", "in_progress", "paused")
_NEXT = timedelta(microseconds=1)
_TABLE = transactions.c

# In the very words of the index of labels, or it would not be used.
_IS_LABEL = literal_column(f"({lines.name}.line_type = 'run_label')", Boolean())


async def enter(session: WriteSession, slot: ConcurrencyLimit, execution_id: UUID, at: datetime) -> datetime:
    """When a run is accepted that is about to be inserted; nobody else enters until the transaction ends.

    Raises DuplicateExecutionError where its key has no room and its policy refuses it then. One that is there already
    is not asked.
    """
    statement = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")
    await session.connection.execute(statement, {"name": f"slot:{session.organization_id}:{slot.label}"})
    found = (await session.connection.execute(_unfinished(session, slot.label))).mappings().all()
    if any(row["id"] == execution_id for row in found):
        return at
    if slot.on_limit == "reject" and len(found) >= slot.max_runs and not await _exists(session, execution_id):
        word = "run" if len(found) == 1 else "runs"
        message = f"{len(found)} {word} of this key are not finished, of {slot.max_runs} at once"
        raise DuplicateExecutionError(message)
    return max([at, *(row["created_at"] + _NEXT for row in found)])


async def leave(session: WriteSession, execution_id: UUID, metadata: JsonObject) -> None:
    """The run has ended, as its row says in this transaction. `metadata` is the row's."""
    label = json_columns.as_text(metadata.get("slot"))
    if label is not None:
        await leave_slot(session, execution_id, label)


async def is_turn(session: ReadSession, slot: ConcurrencyLimit, execution_id: UUID) -> bool:
    """Whether the run may go on. False also where it is over by its row."""
    found = await session.connection.execute(_unfinished(session, slot.label).limit(slot.max_runs))
    return any(row["id"] == execution_id for row in found.mappings())


async def in_the_way(session: ReadSession, slot: ConcurrencyLimit, execution_id: UUID) -> tuple[UUID, ...]:
    """The oldest runs without which it would be this one's turn."""
    found = (await session.connection.execute(_unfinished(session, slot.label))).mappings()
    ids = [row["id"] for row in found]
    if execution_id not in ids:
        return ()
    return tuple(ids[: max(0, ids.index(execution_id) - slot.max_runs + 1)])


async def next_of(session: ReadSession, slot: ConcurrencyLimit) -> tuple[UUID, ...]:
    """The runs of a key whose turn it is, and which have not begun by their rows."""
    statement = _unfinished(session, slot.label).add_columns(_TABLE.metadata).limit(slot.max_runs)
    found = (await session.connection.execute(statement)).mappings()
    return tuple(row["id"] for row in found if _has_not_begun(json_columns.as_object(row["metadata"])))


async def waiting_with_room(session: ReadSession, among: Sequence[UUID]) -> tuple[UUID, ...]:
    """Those of these runs that wait for their turn by their rows, and whose turn it is."""
    statement = select(_TABLE.id, _TABLE.business_context["start"]["slot"].label("slot")).where(
        _TABLE.organization_id == session.organization_id,
        _TABLE.id.in_(among),
        _TABLE.transaction_status.in_(_UNFINISHED),
        _TABLE.metadata["waiting_for"].astext == "concurrency",
    )
    free: list[UUID] = []
    turns: dict[str, list[UUID]] = {}
    for row in (await session.connection.execute(statement)).mappings():
        slot = json_columns.as_object(row["slot"])
        label, max_runs = json_columns.as_text(slot.get("label")), json_columns.as_int(slot.get("max_runs"))
        if label is None:
            continue
        if label not in turns:
            unfinished = (await session.connection.execute(_unfinished(session, label))).mappings()
            turns[label] = [other["id"] for other in unfinished]
        if row["id"] in turns[label][:max_runs]:
            free.append(row["id"])
    return tuple(free)


def _has_not_begun(metadata: JsonObject) -> bool:
    return metadata.get("waiting_for") == "concurrency" or not metadata.get("step_statuses")


async def _exists(session: ReadSession, execution_id: UUID) -> bool:
    """A finished run that is asked for again."""
    statement = select(func.count()).select_from(transactions).where(_TABLE.id == execution_id)
    return (await session.connection.execute(statement)).scalar_one() > 0


def _unfinished(session: ReadSession, label: str) -> Select[*tuple[Any, ...]]:
    """The runs of a key that are not finished, in their order."""
    is_label = (lines.c.organization_id == session.organization_id) & _IS_LABEL
    return (
        select(_TABLE.id, _TABLE.created_at)
        .select_from(lines.join(transactions, _TABLE.id == lines.c.transaction_id))
        .where(is_label, lines.c.description == label)
        .where(_TABLE.organization_id == session.organization_id, _TABLE.transaction_status.in_(_UNFINISHED))
        .order_by(tuple_(_TABLE.created_at, _TABLE.id))
    )

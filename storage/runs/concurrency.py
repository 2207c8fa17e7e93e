"""Concurrency limits: which runs of one key may run, being among the first `max_runs` unfinished ones.

Invariants: who may run is derived from the rows of runs and never counted anywhere; runs of a key are admitted one
after the other, each with a later time than all before it, so none ever comes before one that was allowed to run.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, select, text, tuple_, update

from playbooks.common.errors import DuplicateExecutionError
from playbooks.engine.model.temporal_messages import ConcurrencyLimit
from storage.database import json_columns
from storage.database.sessions import ReadSession, WriteSession
from storage.database.tables import lines, transactions
from storage.runs.conditions import UNFINISHED_RUN, is_label
from storage.runs.labels import LABEL_TYPE
from storage.runs.run_json import START_SLOT, WAITING_FOR, RunMetadata, read_metadata

_WAITS = "concurrency"
_RELEASED = "left:"
_NEXT = timedelta(microseconds=1)
_TABLE = transactions.c


async def admit(session: WriteSession, limit: ConcurrencyLimit, execution_id: UUID, at: datetime) -> datetime:
    """Return the time of acceptance of a run that is about to be inserted, behind all other runs of its key.

    Others of the key wait until the transaction ends. Raises DuplicateExecutionError where the limit is reached and its
    policy is to reject, unless the run is there already.
    """
    statement = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")
    await session.connection.execute(statement, {"name": f"slot:{session.organization_id}:{limit.label}"})
    found = (await session.connection.execute(_unfinished(session, limit.label))).mappings().all()
    if any(row["id"] == execution_id for row in found):
        return at
    if limit.on_limit == "reject" and len(found) >= limit.max_runs and not await _exists(session, execution_id):
        word = "run" if len(found) == 1 else "runs"
        message = f"{len(found)} {word} of this key are not finished, of {limit.max_runs} at once"
        raise DuplicateExecutionError(message)
    return max([at, *(row["created_at"] + _NEXT for row in found)])


async def release(session: WriteSession, execution_id: UUID, label: str | None) -> None:
    """Take a run that ends in this transaction from those of its key. Repeating it changes nothing."""
    if label is None:
        return
    statement = (
        update(lines)
        .where(lines.c.organization_id == session.organization_id, lines.c.transaction_id == execution_id)
        .where(lines.c.line_type == LABEL_TYPE, lines.c.description == label)
        .values(description=f"{_RELEASED}{label}")
    )
    await session.connection.execute(statement)


async def is_within_limit(session: ReadSession, limit: ConcurrencyLimit, execution_id: UUID) -> bool:
    """Whether the run may run now. False also where its row is finished."""
    found = await session.connection.execute(_unfinished(session, limit.label).limit(limit.max_runs))
    return any(row["id"] == execution_id for row in found.mappings())


async def blocking_runs(session: ReadSession, limit: ConcurrencyLimit, execution_id: UUID) -> tuple[UUID, ...]:
    """The oldest runs of the key, as many as have to end before this one may run."""
    found = (await session.connection.execute(_unfinished(session, limit.label))).mappings()
    ids = [row["id"] for row in found]
    if execution_id not in ids:
        return ()
    return tuple(ids[: max(0, ids.index(execution_id) - limit.max_runs + 1)])


async def next_runs(session: ReadSession, limit: ConcurrencyLimit) -> tuple[UUID, ...]:
    """The runs of a key that may run and whose rows show no step yet."""
    statement = _unfinished(session, limit.label).add_columns(_TABLE.metadata).limit(limit.max_runs)
    found = (await session.connection.execute(statement)).mappings()
    return tuple(row["id"] for row in found if _has_not_begun(read_metadata(row["metadata"])))


async def waiting_within_limit(session: ReadSession, among: Sequence[UUID]) -> tuple[UUID, ...]:
    """Those of these runs that wait by their rows and may run."""
    statement = select(_TABLE.id, START_SLOT.label("slot")).where(
        _TABLE.organization_id == session.organization_id,
        _TABLE.id.in_(among),
        _TABLE.transaction_status.in_(UNFINISHED_RUN),
        WAITING_FOR == _WAITS,
    )
    free: list[UUID] = []
    orders: dict[str, list[UUID]] = {}
    for row in (await session.connection.execute(statement)).mappings():
        slot = json_columns.as_object(row["slot"])
        label, max_runs = json_columns.as_text(slot.get("label")), json_columns.as_int(slot.get("max_runs"))
        if label is None:
            continue
        if label not in orders:
            unfinished = (await session.connection.execute(_unfinished(session, label))).mappings()
            orders[label] = [other["id"] for other in unfinished]
        if row["id"] in orders[label][:max_runs]:
            free.append(row["id"])
    return tuple(free)


def _has_not_begun(metadata: RunMetadata) -> bool:
    return metadata.waiting_for == _WAITS or not metadata.step_statuses


async def _exists(session: ReadSession, execution_id: UUID) -> bool:
    """Whether there is a finished run of this id: the request for it was repeated."""
    statement = select(func.count()).select_from(transactions).where(_TABLE.id == execution_id)
    return (await session.connection.execute(statement)).scalar_one() > 0


def _unfinished(session: ReadSession, label: str) -> Select[*tuple[Any, ...]]:
    """The unfinished runs of a key, in their order."""
    return (
        select(_TABLE.id, _TABLE.created_at)
        .select_from(lines.join(transactions, _TABLE.id == lines.c.transaction_id))
        .where(is_label(session.organization_id), lines.c.description == label)
        .where(_TABLE.organization_id == session.organization_id, _TABLE.transaction_status.in_(UNFINISHED_RUN))
        .order_by(tuple_(_TABLE.created_at, _TABLE.id))
    )

"""Unfinished runs: found for recovery and for archiving, cancelled where no workflow has flushed yet.

Before the first flush a run's row may be written here; afterwards only `projection.py` and `repairs.py` write it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, func, select, update

from playbooks.common.values import Actor
from storage.database.quarantine import refuse_poison
from storage.database.sessions import ReadSession, RecoverySession, WriteSession
from storage.database.tables import transactions
from storage.runs.audit_trail import NewEvent, append_events
from storage.runs.concurrency import release
from storage.runs.conditions import RUN_TYPE, UNFINISHED_RUN, is_live_run, is_run
from storage.runs.payloads import industry_of
from storage.runs.run_json import metadata_to_json, read_metadata

_TABLE = transactions.c
_IS_QUEUED = (_TABLE.transaction_status == "queued") & (_TABLE.version == 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveRun:
    """An unfinished run. `is_queued`: its workflow has not flushed."""

    execution_id: UUID
    is_queued: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class UnfinishedRun:
    """An unfinished run as the recovery role sees it. `has_flushed`: its workflow has written its row."""

    organization_id: UUID
    execution_id: UUID
    has_flushed: bool


async def count_live_runs(session: ReadSession, playbook_id: UUID) -> int:
    """Number of unfinished runs of this playbook version."""
    live = select(_TABLE.id).where(_is_live_run_of(session, playbook_id)).subquery()
    return (await session.connection.execute(select(func.count()).select_from(live))).scalar_one()


async def list_live_runs(session: ReadSession, playbook_id: UUID, *, limit: int) -> tuple[LiveRun, ...]:
    """Unfinished runs of this playbook version, by id."""
    statement = (
        select(_TABLE.id, _IS_QUEUED.label("is_queued"))
        .where(_is_live_run_of(session, playbook_id))
        .order_by(_TABLE.id)
        .limit(limit)
    )
    found = (await session.connection.execute(statement)).mappings()
    return tuple(LiveRun(execution_id=row["id"], is_queued=row["is_queued"] is True) for row in found)


async def find_unfinished(
    session: RecoverySession, *, after: UUID, older_than: timedelta, limit: int
) -> tuple[UnfinishedRun, ...]:
    """Unfinished runs of all organizations that are older, by id, beginning behind `after`."""
    statement = (
        select(_TABLE.organization_id, _TABLE.id, _TABLE.version)
        .where(_TABLE.transaction_type == RUN_TYPE, _TABLE.transaction_status.in_(UNFINISHED_RUN), _TABLE.id > after)
        .where(_TABLE.created_at < func.now() - older_than)
        .order_by(_TABLE.id)
        .limit(limit)
    )
    found = (await session.connection.execute(statement)).mappings()
    return tuple(
        UnfinishedRun(
            organization_id=row["organization_id"], execution_id=row["id"], has_flushed=(row["version"] or 0) > 0
        )
        for row in found
    )


async def find_queued(
    session: RecoverySession, older_than: timedelta, limit: int = 100
) -> tuple[tuple[UUID, UUID], ...]:
    """Organization and run ids of older runs whose workflow has not flushed, oldest first."""
    statement = (
        select(_TABLE.organization_id, _TABLE.id)
        .where(_TABLE.transaction_type == RUN_TYPE, _IS_QUEUED)
        .where(_TABLE.created_at < func.now() - older_than)
        .order_by(_TABLE.created_at)
        .limit(limit)
    )
    found = (await session.connection.execute(statement)).mappings()
    return tuple((row["organization_id"], row["id"]) for row in found)


async def lock_queued(session: WriteSession, execution_id: UUID) -> bool:
    """Lock the row of a run whose workflow has not flushed, until the transaction ends; return whether that worked.

    False also where another transaction holds the row: that one starts the run or cancels it.
    """
    statement = (
        select(_TABLE.id)
        .where(is_run(session.organization_id), _TABLE.id == execution_id, _IS_QUEUED)
        .with_for_update(skip_locked=True)
    )
    return (await session.connection.execute(statement)).first() is not None


async def cancel_queued(session: WriteSession, execution_id: UUID, actor: Actor, reason: str | None) -> bool:
    """Cancel a run whose workflow has not flushed. False where it has, or where there is no such unfinished run.

    Its seq stays 0: a workflow that starts all the same finds the cancelled row at its first flush, and cancels.
    """
    refuse_poison("the reason", reason, "/reason")
    at = datetime.now(UTC)
    the_run = is_run(session.organization_id) & (_TABLE.id == execution_id)
    statement = (
        update(transactions)
        .where(the_run, _IS_QUEUED)
        .values(transaction_status="cancelled", updated_at=at, updated_by=actor.id)
        .returning(_TABLE.metadata, _TABLE.smart_code)
    )
    row = (await session.connection.execute(statement)).mappings().one_or_none()
    if row is None:
        return False
    metadata = read_metadata(row["metadata"])
    await release(session, execution_id, metadata.slot)
    event = NewEvent(at=at, kind="run_cancelled", actor=actor, data={"reason": reason, "before_start": True})
    head = await append_events(session, execution_id, industry_of(row["smart_code"]), metadata.events, [event])
    metadata = replace(metadata, events=head, cancel_reason=reason)
    recorded = update(transactions).where(the_run).values(metadata=metadata_to_json(metadata))
    await session.connection.execute(recorded)
    return True


def _is_live_run_of(session: ReadSession, playbook_id: UUID) -> ColumnElement[bool]:
    # In the words of the index of unfinished runs, so that the cost does not depend on the number of finished ones.
    return is_live_run(session.organization_id) & (_TABLE.target_entity_id == playbook_id)

"""Setting rows right for runs whose workflow cannot do it: found by recovery, written here.

Owns the look for unfinished runs and what is written in a workflow's place. Must not know Temporal: who calls has asked
it. Invariant: a finished run is left as it is; whatever is written raises the epoch, so what is late loses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Integer, RowMapping, func, select, update
from sqlalchemy import cast as sql_cast

from playbooks.common.values import FINISHED_RUN, FINISHED_STEP, Json, JsonObject, StepError
from playbooks.engine.model.audit import TableAuditKind
from storage.database import json_columns
from storage.database.sessions import RecoverySession, WriteSession
from storage.database.tables import entities, lines, transactions
from storage.runs.audit_trail import NewEvent, append_events
from storage.runs.concurrency import leave
from storage.runs.labels import set_incident_label
from storage.runs.payloads import industry_of
from storage.runs.run_rows import RUN_TYPE, head_from_json, head_to_json, is_run

_LEADER_LOCK = 0x48455241
"""Any number will do, as long as nothing else in the database locks it."""

_UNFINISHED = ("queued", "in_progress", "paused")
_NEVER_BEGUN: JsonObject = {
    "status": "pending",
    "started_at": None,
    "completed_at": None,
    "wait_until": None,
    "is_parked": False,
    "attempts": [],
    "error": None,
    "reason": None,
    "values": {},
    "confidence": None,
    "confidence_source": None,
    "task": None,
    "child": None,
    "input": None,
    "output": None,
    "input_ref": None,
    "output_ref": None,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class UnfinishedRun:
    """A run that is not over, as the recovery role sees it. `has_spoken`: its workflow has flushed."""

    organization_id: UUID
    execution_id: UUID
    has_spoken: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """How a run ends whose workflow can no longer say it. `kind` names the entry in the trail."""

    status: Literal["failed", "cancelled"]
    kind: TableAuditKind
    reason: str
    at: datetime
    error: StepError | None = None


async def try_to_lead(session: RecoverySession) -> bool:
    """Whether this transaction leads the recovery until it ends; false while another one does."""
    statement = select(func.pg_try_advisory_xact_lock(_LEADER_LOCK))
    return bool((await session.connection.execute(statement)).scalar_one())


async def find_unfinished(
    session: RecoverySession, *, after: UUID, older_than: timedelta, limit: int
) -> tuple[UnfinishedRun, ...]:
    """Runs that are not over and not fresh, by id from the one behind `after`."""
    table = transactions.c
    statement = (
        select(table.organization_id, table.id, table.version)
        .where(table.transaction_type == RUN_TYPE, table.transaction_status.in_(_UNFINISHED), table.id > after)
        .where(table.created_at < func.now() - older_than)
        .order_by(table.id)
        .limit(limit)
    )
    found = (await session.connection.execute(statement)).mappings()
    return tuple(
        UnfinishedRun(
            organization_id=row["organization_id"], execution_id=row["id"], has_spoken=(row["version"] or 0) > 0
        )
        for row in found
    )


async def take_back_lines(session: WriteSession, execution_id: UUID, epoch: int) -> None:
    """Lines of an older epoch are of steps that a reset took back: pending again, their tasks withdrawn.

    What had happened stays in the trail. The caller holds the run's row.
    """
    for row in await _step_lines(session, execution_id):
        data = json_columns.as_object(row["line_data"])
        if json_columns.as_int(data.get("epoch")) >= epoch:
            continue
        values = {"unit_amount": 0, "line_amount": 0, "ai_confidence": None, "version": 0}
        await _put_line(session, row, {**data, **_NEVER_BEGUN, "epoch": epoch}, **values)
        await _withdraw_task(session, data, epoch, version=0)


async def close_run(session: WriteSession, execution_id: UUID, closing: Closing) -> bool:
    """End the run in its workflow's place; what was open is cancelled. False where it is over already, or not here."""
    statement = (
        select(transactions.c.transaction_status, transactions.c.metadata, transactions.c.smart_code)
        .where(is_run(session.organization_id), transactions.c.id == execution_id)
        .with_for_update()
    )
    row = (await session.connection.execute(statement)).mappings().one_or_none()
    if row is None or row["transaction_status"] in FINISHED_RUN:
        return False
    moving = json_columns.as_object(row["metadata"])
    epoch = json_columns.as_int(moving.get("epoch")) + 1
    statuses = {key: str(value) for key, value in json_columns.as_object(moving.get("step_statuses")).items()}
    statuses |= await _cancel_open_lines(session, execution_id, closing, epoch)
    await leave(session, execution_id, moving)
    industry = industry_of(row["smart_code"])
    if moving.get("open_incidents"):
        await set_incident_label(session, execution_id, industry, is_open=False)
    error = json_columns.error_to_json(closing.error)
    event = NewEvent(at=closing.at, kind=closing.kind, data={"reason": closing.reason, "error": error})
    head = head_from_json(moving.get("events"))
    head = await append_events(session, execution_id, industry, head, [event])
    changed: dict[str, Json] = {
        "epoch": epoch,
        "stuck": None,
        "pause": None,
        "current_step": None,
        "open_incidents": 0,
        "waiting_for": None,
        "children": [],
        "step_statuses": dict[str, Json](statuses),
        "events": head_to_json(head),
    }
    if closing.status == "cancelled":
        changed["cancel_reason"] = closing.reason
    values: dict[str, Any] = {
        "transaction_status": closing.status,
        "metadata": {**moving, **changed},
        "updated_at": closing.at,
        "business_context": transactions.c.business_context.concat({"error": error}),
    }
    await _put_run(session, execution_id, values)
    return True


async def mark_stuck(session: WriteSession, execution_id: UUID, since: datetime, reason: str) -> bool:
    """Note on an unfinished run that its workflow cannot go on, with an entry in the trail.

    Its next flush takes the note away. False where it has one already, or is over, or is not here.
    """
    statement = (
        select(transactions.c.metadata, transactions.c.smart_code)
        .where(is_run(session.organization_id), transactions.c.id == execution_id)
        .where(transactions.c.transaction_status.in_(_UNFINISHED))
        .with_for_update()
    )
    row = (await session.connection.execute(statement)).mappings().one_or_none()
    if row is None or json_columns.as_object(row["metadata"]).get("stuck") is not None:
        return False
    moving = json_columns.as_object(row["metadata"])
    event = NewEvent(at=since, kind="run_stuck", data={"reason": reason})
    head = head_from_json(moving.get("events"))
    head = await append_events(session, execution_id, industry_of(row["smart_code"]), head, [event])
    stuck: JsonObject = {"since": json_columns.instant_to_json(since), "reason": reason}
    values = {"metadata": {**moving, "stuck": stuck, "events": head_to_json(head)}}
    await _put_run(session, execution_id, values)
    return True


async def clear_stuck(session: WriteSession, execution_id: UUID) -> None:
    """Take the note away from a run whose workflow goes on without having anything to flush."""
    await _put_run(session, execution_id, {"metadata": transactions.c.metadata.concat({"stuck": None})})


async def _cancel_open_lines(
    session: WriteSession, execution_id: UUID, closing: Closing, epoch: int
) -> Mapping[str, str]:
    """Cancels what is open; the statuses that changed, by step."""
    changed: dict[str, str] = {}
    for row in await _step_lines(session, execution_id):
        data = json_columns.as_object(row["line_data"])
        if data.get("status") in FINISHED_STEP or data.get("status") == "pending":
            continue
        at = json_columns.instant_to_json(closing.at)
        end: JsonObject = {"status": "cancelled", "reason": closing.reason, "completed_at": at, "epoch": epoch}
        await _put_line(session, row, {**data, **end}, updated_at=closing.at)
        await _withdraw_task(session, data, epoch)
        changed[json_columns.as_text(data.get("key")) or ""] = "cancelled"
    return changed


async def _step_lines(session: WriteSession, execution_id: UUID) -> list[RowMapping]:
    statement = select(lines.c.id, lines.c.line_data).where(
        lines.c.organization_id == session.organization_id,
        lines.c.transaction_id == execution_id,
        lines.c.line_type == "step_execution",
    )
    return list((await session.connection.execute(statement)).mappings())


async def _put_line(session: WriteSession, row: RowMapping, data: JsonObject, **values: Any) -> None:
    statement = update(lines).where(lines.c.organization_id == session.organization_id, lines.c.id == row["id"])
    await session.connection.execute(statement.values(line_data=data, **values))


async def _withdraw_task(session: WriteSession, data: JsonObject, epoch: int, **values: int) -> None:
    """Close the line's task for people. With `version` 0 it can be announced again."""
    task_id = json_columns.uuid_from_json(json_columns.as_object(data.get("task")).get("id"))
    if task_id is None:
        return
    known = func.coalesce(sql_cast(entities.c.metadata["epoch"].astext, Integer()), 0)
    statement = (
        update(entities)
        .where(entities.c.organization_id == session.organization_id, entities.c.id == task_id, known < epoch)
        .values(metadata=entities.c.metadata.concat({"epoch": epoch}), status="cancelled", updated_at=func.now())
    )
    if not values:  # what was decided stays decided
        statement = statement.where(entities.c.status.in_(("open", "claimed")))
    await session.connection.execute(statement.values(**values))


async def _put_run(session: WriteSession, execution_id: UUID, values: Mapping[str, Any]) -> None:
    statement = update(transactions).where(is_run(session.organization_id), transactions.c.id == execution_id)
    await session.connection.execute(statement.values(**values))

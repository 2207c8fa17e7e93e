"""Repairs the rows of runs whose workflow cannot write them.

Recovery asks Temporal before it calls. Invariant: a finished run is left as it is; what is written raises the epoch, so
a late flush changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Integer, RowMapping, func, select, update
from sqlalchemy import cast as sql_cast

from playbooks.common.values import FINISHED_STEP, JsonObject, StepError
from playbooks.engine.model.audit import TableAuditKind
from storage.database import json_columns
from storage.database.sessions import RecoverySession, WriteSession
from storage.database.tables import entities, lines, transactions
from storage.runs.audit_trail import NewEvent, append_events
from storage.runs.concurrency import release
from storage.runs.conditions import UNFINISHED_RUN, is_run
from storage.runs.labels import set_incident_label
from storage.runs.payloads import industry_of
from storage.runs.run_json import NOT_STUCK, RunMetadata, Stuck, metadata_to_json, read_metadata, result_to_json

_LEADER_LOCK = 0x48455241
"""An arbitrary number that nothing else in the database locks."""

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
class Closing:
    """The end of a run whose workflow cannot report it. `kind` names the entry in the trail."""

    status: Literal["failed", "cancelled"]
    kind: TableAuditKind
    reason: str
    at: datetime
    error: StepError | None = None


async def try_to_lead(session: RecoverySession) -> bool:
    """Try to become the transaction that leads the recovery until it ends; false while another one does."""
    statement = select(func.pg_try_advisory_xact_lock(_LEADER_LOCK))
    return bool((await session.connection.execute(statement)).scalar_one())


async def take_back_lines(session: WriteSession, execution_id: UUID, epoch: int) -> None:
    """Make steps that a reset took back pending again, and withdraw their tasks: those with lines of an older epoch.

    The trail keeps what had happened. The caller holds the run's row.
    """
    for row in await _step_lines(session, execution_id):
        data = json_columns.as_object(row["line_data"])
        if json_columns.as_int(data.get("epoch")) >= epoch:
            continue
        values = {"unit_amount": 0, "line_amount": 0, "ai_confidence": None, "version": 0}
        await _put_line(session, row, {**data, **_NEVER_BEGUN, "epoch": epoch}, **values)
        await _withdraw_task(session, data, epoch, version=0)


async def close_run(session: WriteSession, execution_id: UUID, closing: Closing) -> bool:
    """End the run in its workflow's place and cancel its open steps. False where it is finished, or not here."""
    found = await _lock_unfinished(session, execution_id)
    if found is None:
        return False
    metadata, industry = found
    epoch = metadata.epoch + 1
    cancelled = await _cancel_open_lines(session, execution_id, closing, epoch)
    await release(session, execution_id, metadata.slot)
    if metadata.open_incidents:
        await set_incident_label(session, execution_id, industry, is_open=False)
    error = json_columns.error_to_json(closing.error)
    event = NewEvent(at=closing.at, kind=closing.kind, data={"reason": closing.reason, "error": error})
    metadata = replace(
        metadata,
        epoch=epoch,
        stuck=None,
        pause=None,
        current_step=None,
        open_incidents=0,
        waiting_for=None,
        children=(),
        step_statuses={**metadata.step_statuses, **cancelled},
        cancel_reason=closing.reason if closing.status == "cancelled" else metadata.cancel_reason,
        events=await append_events(session, execution_id, industry, metadata.events, [event]),
    )
    values: dict[str, Any] = {
        "transaction_status": closing.status,
        "metadata": metadata_to_json(metadata),
        "updated_at": closing.at,
        "business_context": transactions.c.business_context.concat(result_to_json(error, None)),
    }
    await _put_run(session, execution_id, values)
    return True


async def mark_stuck(session: WriteSession, execution_id: UUID, since: datetime, reason: str) -> bool:
    """Note on an unfinished run that its workflow cannot go on, with an entry in the trail.

    Its next flush takes the note away. False where it has one already, is finished, or is not here.
    """
    found = await _lock_unfinished(session, execution_id)
    if found is None or found[0].stuck is not None:
        return False
    metadata, industry = found
    event = NewEvent(at=since, kind="run_stuck", data={"reason": reason})
    head = await append_events(session, execution_id, industry, metadata.events, [event])
    metadata = replace(metadata, stuck=Stuck(since=since, reason=reason), events=head)
    await _put_run(session, execution_id, {"metadata": metadata_to_json(metadata)})
    return True


async def clear_stuck(session: WriteSession, execution_id: UUID) -> None:
    """Take the note away from a run whose workflow goes on without having anything to flush."""
    await _put_run(session, execution_id, {"metadata": transactions.c.metadata.concat(NOT_STUCK)})


async def _lock_unfinished(session: WriteSession, execution_id: UUID) -> tuple[RunMetadata, str] | None:
    """Lock the row of an unfinished run, and return its metadata and industry."""
    statement = (
        select(transactions.c.metadata, transactions.c.smart_code)
        .where(is_run(session.organization_id), transactions.c.id == execution_id)
        .where(transactions.c.transaction_status.in_(UNFINISHED_RUN))
        .with_for_update()
    )
    row = (await session.connection.execute(statement)).mappings().one_or_none()
    return None if row is None else (read_metadata(row["metadata"]), industry_of(row["smart_code"]))


async def _cancel_open_lines(
    session: WriteSession, execution_id: UUID, closing: Closing, epoch: int
) -> Mapping[str, str]:
    """Cancel the open steps, and return the statuses that changed, by step."""
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

"""Writes flushes into the rows: the only writer of a run once its workflow has flushed.

Invariants: rows only change when (epoch, seq) rises; a finished run's status, output and cost never change again;
flushes of a Temporal run that another one replaced are ignored; a flush is stored in one transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, cast

from sqlalchemy import Update, bindparam, select, update

from playbooks.common import ids
from playbooks.common.errors import NotFoundError
from playbooks.common.values import FINISHED_RUN, JsonObject, PayloadRef, RunStatus
from playbooks.engine.model.plan import Plan
from playbooks.engine.model.state import AuditEvent
from playbooks.engine.model.step_ref import StepRef
from playbooks.engine.model.temporal_messages import FlushCall, FlushResult, RunProjection
from playbooks.engine.projection import fold
from storage.database import json_columns
from storage.database.line_writes import upsert_step_lines
from storage.database.quarantine import Quarantine
from storage.database.sealing import Sealer
from storage.database.sessions import WriteSession
from storage.database.tables import transactions
from storage.runs.audit_trail import append_events, from_machine, quarantine_events
from storage.runs.concurrency import release
from storage.runs.conditions import is_run
from storage.runs.labels import set_incident_label, set_priority_label
from storage.runs.repairs import take_back_lines
from storage.runs.run_json import RunMetadata, metadata_to_json, read_metadata, result_to_json
from storage.runs.run_rows import count_statuses
from storage.runs.step_lines import Outgoing, line_number, line_values
from storage.runs.tasks import sync_task

_KEPT_RUN_IDS = 20
_TOTALS_BELOW = Decimal(10) ** 15 - 1
"""numeric(19,4) has fifteen digits before the point; one less leaves room for rounding."""


# Statements of every flush are built once: building one costs more than sending it.
_THE_RUN = is_run(bindparam("organization")) & (transactions.c.id == bindparam("run"))
_HOLD = (
    select(transactions.c.transaction_status, transactions.c.version, transactions.c.metadata)
    .where(_THE_RUN)
    .with_for_update()
)


class RowPositionMismatchError(Exception):
    """The rows are not at the seq that the flush continues: a backup was restored, or a reset took steps back.

    This flush alone cannot repair that; all that the history has committed can (`apply_whole`).
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """The run's row before the flush."""

    status: RunStatus
    seq: int
    metadata: RunMetadata

    @property
    def is_finished(self) -> bool:
        return self.status in FINISHED_RUN

    @property
    def run_ids(self) -> tuple[str, ...]:
        return self.metadata.temporal_run_ids


async def apply_flush(session: WriteSession, call: FlushCall, plan: Plan, sealer: Sealer) -> FlushResult:
    """Bring the run's rows to the state that `call` carries; a repeated or overtaken flush changes nothing.

    `row_status` of the answer is the row's status before: where it is finished and the workflow is not, the run was
    ended from outside. Raises NotFoundError when there is no such run here, RowPositionMismatchError (and writes
    nothing) when the rows are not at the seq that the flush continues.
    """
    known = await _hold(session, call)
    epoch = _next_epoch(known, call)
    if epoch is None:
        return FlushResult(applied=False, row_status=known.status)
    if _is_elsewhere(known, call) and not known.is_finished:
        raise RowPositionMismatchError
    return await _apply(session, _Flush(call=call, new=_unseen(known, call, epoch), epoch=epoch), plan, known, sealer)


async def apply_whole(session: WriteSession, flushes: Sequence[FlushCall], plan: Plan, sealer: Sealer) -> FlushResult:
    """Bring the run's rows to the state after all its flushes, given in order, whatever is in the rows now.

    Lines of steps that these flushes do not have become `pending` again: a reset took them back. Entries that the trail
    lacks are added. Repeating it changes nothing. Raises NotFoundError when there is no such run here.
    """
    call = fold(flushes)
    known = await _hold(session, call)
    is_new = call.temporal_run_id not in known.run_ids
    is_replaced = not is_new and call.temporal_run_id != known.run_ids[-1]
    if is_replaced or (not is_new and call.seq < known.seq) or (known.is_finished and known.run_ids):
        return FlushResult(applied=False, row_status=known.status)
    last = known.metadata.events.source_number
    new = [
        event
        for flush in flushes
        for event in flush.events
        if event.number > last or (is_new and flush.temporal_run_id == call.temporal_run_id)
    ]
    epoch = known.metadata.epoch + 1
    result = await _apply(session, _Flush(call=call, new=new, epoch=epoch, is_whole=True), plan, known, sealer)
    if result.applied:
        await take_back_lines(session, call.execution_id, epoch)
    return result


@dataclass(frozen=True, slots=True, kw_only=True)
class _Flush:
    """A flush that applies, with its epoch and those of its events that are new. `is_whole`: it has every step."""

    call: FlushCall
    new: Sequence[AuditEvent]
    epoch: int
    is_whole: bool = False


async def _apply(session: WriteSession, flush: _Flush, plan: Plan, known: _Known, sealer: Sealer) -> FlushResult:
    call, epoch = flush.call, flush.epoch
    if known.is_finished:
        await _append_only(session, flush, plan, known)
        return FlushResult(applied=False, row_status=known.status)
    run, before, quarantine = call.run, known.metadata, Quarantine()
    await _put_steps(session, call, plan, Outgoing(epoch=epoch, sealer=sealer, quarantine=quarantine))
    if run.priority != before.priority:
        await set_priority_label(session, call.execution_id, run.priority)
    is_open = run.open_incidents > 0
    if is_open != (before.open_incidents > 0):
        await set_incident_label(session, call.execution_id, plan.industry, is_open=is_open)
    ending = _ending(run, plan, sealer, quarantine)
    if ending:
        await release(session, call.execution_id, before.slot)
    metadata = _changed_metadata(known, flush, quarantine)
    cost = quarantine.take_amount("total_amount", run.cost, _TOTALS_BELOW)
    new = [from_machine(event) for event in flush.new]
    at = call.events[-1].at if call.events else datetime.now(UTC)
    new += quarantine_events(quarantine, at)
    head = await append_events(session, call.execution_id, plan.industry, before.events, new)
    await _put_run(session, call, cost, replace(metadata, events=head), ending)
    return FlushResult(applied=True, row_status=known.status)


async def _hold(session: WriteSession, call: FlushCall) -> _Known:
    """Lock the run's row: flushes, announcements and cancellations of one run are serialized by it."""
    whose = {"organization": session.organization_id, "run": call.execution_id}
    row = (await session.connection.execute(_HOLD, whose)).mappings().one_or_none()
    if row is None:
        raise NotFoundError("there is no such run")
    return _Known(
        status=cast("RunStatus", row["transaction_status"]),
        seq=row["version"] or 0,
        metadata=read_metadata(row["metadata"]),
    )


def _next_epoch(known: _Known, call: FlushCall) -> int | None:
    """The epoch under which the flush applies; None where the row is newer.

    A Temporal run id that the row has not seen is a newer execution of the workflow (continue-as-new, a reset) and
    raises the epoch. A reset of a finished run is refused.
    """
    if known.run_ids and call.temporal_run_id == known.run_ids[-1]:
        return known.metadata.epoch if call.seq > known.seq else None
    if call.temporal_run_id in known.run_ids:
        return None
    if known.is_finished and known.run_ids:
        return None
    return known.metadata.epoch + 1


def _is_elsewhere(known: _Known, call: FlushCall) -> bool:
    """Whether the rows lack something that `call` does not carry, or have what its execution took back.

    Rows of one execution may be ahead of `after_seq`: an effect wrote them before its result reached the workflow.
    """
    if call.after_seq is None:
        return False
    if known.run_ids and call.temporal_run_id == known.run_ids[-1]:
        return known.seq < call.after_seq
    return known.seq != call.after_seq


async def _put_steps(session: WriteSession, call: FlushCall, plan: Plan, out: Outgoing) -> None:
    rows: list[dict[str, Any]] = []
    for step in call.steps:
        number = line_number(plan.step(step.key), step)
        rows.append(
            {
                "created_at": datetime.now(UTC),
                "updated_at": datetime.now(UTC),
                **line_values(plan, step, out),
                "id": ids.line_id(call.execution_id, number),
                "organization_id": session.organization_id,
                "transaction_id": call.execution_id,
                "line_number": number,
            }
        )
    await upsert_step_lines(session, rows)
    for step in call.steps:
        if step.task is not None:
            await sync_task(session, call.execution_id, plan, step, out)


def _changed_metadata(known: _Known, flush: _Flush, quarantine: Quarantine) -> RunMetadata:
    """The row's metadata after the flush, but for the head of the trail."""
    call, before, run = flush.call, known.metadata, flush.call.run
    statuses = {} if flush.is_whole else dict(before.step_statuses)
    statuses |= {step.key: step.status for step in call.steps if StepRef.parse(step.key).key == step.key}
    run_ids = known.run_ids if call.temporal_run_id in known.run_ids else (*known.run_ids, call.temporal_run_id)
    completed = count_statuses(statuses)["completed_steps"]
    pause = run.pause and replace(run.pause, reason=quarantine.take_text("pause", run.pause.reason))
    return replace(
        before,
        epoch=flush.epoch,
        stuck=None,
        temporal_run_ids=run_ids[-_KEPT_RUN_IDS:],
        has_started=run.started_at is not None,
        priority=run.priority,
        total_steps=run.total_steps,
        step_statuses=statuses,
        success_rate=completed / run.total_steps if run.total_steps else 0,
        current_step=run.current_step,
        waiting_for=run.waiting_for,
        children=tuple(run.children),
        digest=run.digest,
        open_incidents=run.open_incidents,
        variables=json_columns.as_object(quarantine.take("variables", run.variables)),
        cancel_reason=quarantine.take_text("cancel_reason", run.cancel_reason),
        pause=pause,
    )


def _ending(run: RunProjection, plan: Plan, sealer: Sealer, quarantine: Quarantine) -> JsonObject:
    """The members that join the unchanging part of the row when the run ends."""
    if run.status not in FINISHED_RUN:
        return {}
    error = quarantine.take("error", json_columns.error_to_json(run.error))
    if isinstance(run.output, PayloadRef):
        return result_to_json(error, run.output)
    return result_to_json(error, sealer.seal(quarantine.take("output", run.output), plan.sensitive_output))


def _unseen(known: _Known, call: FlushCall, epoch: int) -> list[AuditEvent]:
    """The new events. A newer execution may count again from where it was reset to: all of its events are new."""
    if epoch > known.metadata.epoch:
        return list(call.events)
    last = known.metadata.events.source_number
    return [event for event in call.events if event.number > last]


async def _append_only(session: WriteSession, flush: _Flush, plan: Plan, known: _Known) -> None:
    """Append late events to the trail of a finished run; nothing else of it changes."""
    call, before = flush.call, known.metadata
    new = [from_machine(event) for event in flush.new if event.number > before.events.source_number]
    head = await append_events(session, call.execution_id, plan.industry, before.events, new)
    # Where it was cancelled before its workflow flushed, flushes of other executions are ignored from now on.
    metadata = replace(before, events=head, temporal_run_ids=known.run_ids or (call.temporal_run_id,))
    statement = (
        update(transactions)
        .where(is_run(session.organization_id), transactions.c.id == call.execution_id)
        .values(version=call.seq, metadata=metadata_to_json(metadata))
    )
    await session.connection.execute(statement)


async def _put_run(
    session: WriteSession, call: FlushCall, cost: Decimal | None, metadata: RunMetadata, ending: JsonObject
) -> None:
    run = call.run
    values: dict[str, Any] = {"transaction_status": run.status, "version": call.seq}
    values["metadata"] = metadata_to_json(metadata)
    if cost is not None:  # else the sum over the lines is kept
        values["total_amount"] = cost
    if run.started_at is not None:
        values["transaction_date"] = run.started_at
    if ending:
        values["business_context"] = ending
        values["updated_at"] = run.completed_at or datetime.now(UTC)
    given = {f"new_{name}": value for name, value in values.items()}
    whose = {"organization": session.organization_id, "run": call.execution_id}
    await session.connection.execute(_update_run(tuple(values)), {**whose, **given})


@lru_cache(maxsize=16)
def _update_run(columns: tuple[str, ...]) -> Update:
    """The UPDATE of these columns. `business_context` is added to; the others are replaced."""
    values: dict[str, Any] = {}
    for name in columns:
        column = transactions.c[name]
        given = bindparam(f"new_{name}", type_=column.type)
        values[name] = column.concat(given) if name == "business_context" else given
    return update(transactions).where(_THE_RUN).values(values)

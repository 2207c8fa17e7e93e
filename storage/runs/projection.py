"""Committed state on its way into the rows: the one writer of a run once its workflow speaks.

Owns `apply_flush` and `apply_whole`. Must not know how the state came about. Invariants: rows only change when (epoch,
seq) rises; a finished run's status, output and cost never change again; a Temporal run that another one replaced is not
listened to; everything of a flush is stored in one transaction, or nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, cast

from sqlalchemy import Update, bindparam, select, update

from playbooks.common import ids
from playbooks.common.errors import NotFoundError
from playbooks.common.values import FINISHED_RUN, Json, JsonObject, PayloadRef, RunStatus
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
from storage.runs.audit_trail import NewEvent, append_events, from_machine, quarantine_events
from storage.runs.concurrency import leave
from storage.runs.labels import set_incident_label, set_priority_label
from storage.runs.repairs import take_back_lines
from storage.runs.run_rows import counts_of, head_from_json, head_to_json, is_run
from storage.runs.step_lines import Outgoing, line_number, line_values, with_further_lines
from storage.runs.tasks import sync_task

_KEPT_RUN_IDS = 20
_TOTALS_BELOW = Decimal(10) ** 15 - 1
"""numeric(19,4) has fifteen digits before the point; one less leaves room for rounding."""


# Statements that every flush needs are made once: to make one costs more than to send it.
_THE_RUN = is_run(bindparam("organization")) & (transactions.c.id == bindparam("run"))
_HOLD = (
    select(transactions.c.transaction_status, transactions.c.version, transactions.c.metadata)
    .where(_THE_RUN)
    .with_for_update()
)


class RowsElsewhereError(Exception):
    """The rows do not stand where the flush goes on from: a backup was restored, or a reset took steps back.

    This flush alone cannot mend that; everything that the history has committed can (`apply_whole`).
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What the row says before the flush. `is_first`: no workflow has spoken for this run yet."""

    status: RunStatus
    seq: int
    metadata: JsonObject

    @property
    def is_finished(self) -> bool:
        return self.status in FINISHED_RUN

    @property
    def epoch(self) -> int:
        return json_columns.as_int(self.metadata.get("epoch"))

    @property
    def run_ids(self) -> tuple[str, ...]:
        return tuple(str(item) for item in json_columns.as_list(self.metadata.get("temporal_run_ids")))


async def apply_flush(session: WriteSession, call: FlushCall, plan: Plan, sealer: Sealer) -> FlushResult:
    """Bring the run's rows to the state that `call` carries; a repeated or overtaken flush changes nothing.

    `row_status` of the answer is the row's status before: a finished one tells a workflow that is not finished that its
    run is over. Raises NotFoundError when there is no such run here, RowsElsewhereError (and writes nothing) when the
    rows do not stand where the flush goes on from.
    """
    known = await _hold(session, call)
    epoch = _next_epoch(known, call)
    if epoch is None:
        return FlushResult(applied=False, row_status=known.status)
    if _is_elsewhere(known, call) and not known.is_finished:
        raise RowsElsewhereError
    return await _apply(session, _Flush(call=call, new=_unseen(known, call, epoch), epoch=epoch), plan, known, sealer)


async def apply_whole(session: WriteSession, flushes: Sequence[FlushCall], plan: Plan, sealer: Sealer) -> FlushResult:
    """Bring the run's rows to what all its flushes, in order, say together, wherever the rows stand now.

    Lines of steps that these flushes do not know become `pending` again: a reset took them back. Entries that the trail
    lacks are added. Repeating it changes nothing. Raises NotFoundError when there is no such run here.
    """
    call = fold(flushes)
    known = await _hold(session, call)
    is_new = call.temporal_run_id not in known.run_ids
    is_replaced = not is_new and call.temporal_run_id != known.run_ids[-1]
    if is_replaced or (not is_new and call.seq < known.seq) or (known.is_finished and known.run_ids):
        return FlushResult(applied=False, row_status=known.status)
    last = head_from_json(known.metadata.get("events")).source_number
    new = [
        event
        for flush in flushes
        for event in flush.events
        if event.number > last or (is_new and flush.temporal_run_id == call.temporal_run_id)
    ]
    epoch = known.epoch + 1
    result = await _apply(session, _Flush(call=call, new=new, epoch=epoch, is_whole=True), plan, known, sealer)
    if result.applied:
        await take_back_lines(session, call.execution_id, epoch)
    return result


@dataclass(frozen=True, slots=True, kw_only=True)
class _Flush:
    """A flush that applies: under which epoch, and which of its events are new. `is_whole`: it knows every step."""

    call: FlushCall
    new: Sequence[AuditEvent]
    epoch: int
    is_whole: bool = False


async def _apply(session: WriteSession, flush: _Flush, plan: Plan, known: _Known, sealer: Sealer) -> FlushResult:
    call, epoch = flush.call, flush.epoch
    if known.is_finished:
        await _follow(session, flush, plan, known)
        return FlushResult(applied=False, row_status=known.status)
    quarantine = Quarantine()
    out = Outgoing(epoch=epoch, sealer=sealer, quarantine=quarantine)
    further = await _put_steps(session, call, plan, known, out)
    moving = _moving(known, flush)
    if moving["priority"] != known.metadata.get("priority"):
        await set_priority_label(session, call.execution_id, call.run.priority)
    is_open = call.run.open_incidents > 0
    if is_open != bool(known.metadata.get("open_incidents")):
        await set_incident_label(session, call.execution_id, plan.industry, is_open=is_open)
    ending = _ending(call.run, plan, sealer, quarantine)
    if ending:
        await leave(session, call.execution_id, known.metadata)
    moving |= {"variables": quarantine.take("variables", call.run.variables), "further_lines": further}
    moving["cancel_reason"] = quarantine.take_text("cancel_reason", call.run.cancel_reason)
    moving["pause"] = quarantine.take("pause", json_columns.pause_to_json(call.run.pause))
    cost = quarantine.take_amount("total_amount", call.run.cost, _TOTALS_BELOW)
    new = [from_machine(event) for event in flush.new]
    at = call.events[-1].at if call.events else datetime.now(UTC)
    moving["events"] = await _append(session, call, plan, known, [*new, *quarantine_events(quarantine, at)])
    await _put_run(session, call, cost, moving, ending)
    return FlushResult(applied=True, row_status=known.status)


async def _hold(session: WriteSession, call: FlushCall) -> _Known:
    """Lock the run's row: flushes, announcements and cancellations of one run take turns."""
    whose = {"organization": session.organization_id, "run": call.execution_id}
    row = (await session.connection.execute(_HOLD, whose)).mappings().one_or_none()
    if row is None:
        raise NotFoundError("there is no such run")
    return _Known(
        status=cast("RunStatus", row["transaction_status"]),
        seq=row["version"] or 0,
        metadata=json_columns.as_object(row["metadata"]),
    )


def _next_epoch(known: _Known, call: FlushCall) -> int | None:
    """The epoch under which the flush applies; None where the row knows more already.

    A Temporal run id that the row has not seen is a newer execution of the workflow (continue-as-new, a reset) and
    raises the epoch. A reset of a finished run is refused.
    """
    if known.run_ids and call.temporal_run_id == known.run_ids[-1]:
        return known.epoch if call.seq > known.seq else None
    if call.temporal_run_id in known.run_ids:
        return None
    if known.is_finished and known.run_ids:
        return None
    return known.epoch + 1


def _is_elsewhere(known: _Known, call: FlushCall) -> bool:
    """Whether the rows lack something that `call` does not carry, or have what its execution took back.

    Rows may know more than `after_seq` of one execution: an effect wrote them, and its workflow has not heard of it.
    """
    if call.after_seq is None:
        return False
    if known.run_ids and call.temporal_run_id == known.run_ids[-1]:
        return known.seq < call.after_seq
    return known.seq != call.after_seq


async def _put_steps(
    session: WriteSession, call: FlushCall, plan: Plan, known: _Known, out: Outgoing
) -> dict[str, Json]:
    further = with_further_lines(_numbers(known.metadata.get("further_lines")), call.steps)
    rows: list[dict[str, Any]] = []
    for step in call.steps:
        number = line_number(plan.step(step.key), step, further)
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
    return dict[str, Json](further)


def _moving(known: _Known, flush: _Flush) -> dict[str, Json]:
    """The part of the row that every flush rewrites."""
    call, before = flush.call, known.metadata
    run = call.run
    kept = {} if flush.is_whole else json_columns.as_object(before.get("step_statuses"))
    statuses = {key: str(value) for key, value in kept.items()}
    statuses |= {step.key: step.status for step in call.steps if StepRef.parse(step.key).key == step.key}
    run_ids = list(known.run_ids)
    if call.temporal_run_id not in run_ids:
        run_ids.append(call.temporal_run_id)
    completed = counts_of(statuses)["completed_steps"]
    return {
        **before,
        "epoch": flush.epoch,
        "stuck": None,
        "temporal_run_ids": list[Json](run_ids[-_KEPT_RUN_IDS:]),
        "has_started": run.started_at is not None,
        "priority": run.priority,
        "total_steps": run.total_steps,
        "step_statuses": dict[str, Json](statuses),
        "success_rate": completed / run.total_steps if run.total_steps else 0,
        "current_step": run.current_step,
        "waiting_for": run.waiting_for,
        "children": [str(child) for child in run.children],
        "digest": run.digest,
        "open_incidents": run.open_incidents,
    }


def _ending(run: RunProjection, plan: Plan, sealer: Sealer, quarantine: Quarantine) -> JsonObject:
    """What joins the unchanging part of the row when the run ends."""
    if run.status not in FINISHED_RUN:
        return {}
    error = quarantine.take("error", json_columns.error_to_json(run.error))
    if isinstance(run.output, PayloadRef):
        return {"error": error, "output_ref": json_columns.ref_to_json(run.output)}
    output = quarantine.take("output", run.output)
    return {"error": error, "output": sealer.seal(output, plan.sensitive_output)}


async def _append(
    session: WriteSession, call: FlushCall, plan: Plan, known: _Known, new: Sequence[NewEvent]
) -> JsonObject:
    head = head_from_json(known.metadata.get("events"))
    return head_to_json(await append_events(session, call.execution_id, plan.industry, head, new))


def _unseen(known: _Known, call: FlushCall, epoch: int) -> list[AuditEvent]:
    """A newer execution may count again from where it was reset to; what it says is new whatever its number."""
    if epoch > known.epoch:
        return list(call.events)
    last = head_from_json(known.metadata.get("events")).source_number
    return [event for event in call.events if event.number > last]


async def _follow(session: WriteSession, flush: _Flush, plan: Plan, known: _Known) -> None:
    """A finished run: what was on its way joins the trail, and nothing else changes."""
    call, last = flush.call, head_from_json(known.metadata.get("events")).source_number
    new = [from_machine(event) for event in flush.new if event.number > last]
    moving = {**known.metadata, "events": await _append(session, call, plan, known, new)}
    if not known.run_ids:
        # Cancelled before its workflow spoke: from now on only this execution is listened to.
        moving["temporal_run_ids"] = [call.temporal_run_id]
    statement = (
        update(transactions)
        .where(is_run(session.organization_id), transactions.c.id == call.execution_id)
        .values(version=call.seq, metadata=moving)
    )
    await session.connection.execute(statement)


async def _put_run(
    session: WriteSession, call: FlushCall, cost: Decimal | None, moving: JsonObject, ending: JsonObject
) -> None:
    run = call.run
    values: dict[str, Any] = {"transaction_status": run.status, "metadata": moving, "version": call.seq}
    if cost is not None:  # else the sum over the lines stands
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
    """What joins the unchanging part of the row is added to it; everything else replaces what is there."""
    values: dict[str, Any] = {}
    for name in columns:
        column = transactions.c[name]
        given = bindparam(f"new_{name}", type_=column.type)
        values[name] = column.concat(given) if name == "business_context" else given
    return update(transactions).where(_THE_RUN).values(values)


def _numbers(value: object) -> Mapping[str, int]:
    return {name: json_columns.as_int(number) for name, number in json_columns.as_object(value).items()}

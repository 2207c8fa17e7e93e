"""A visit of a step as one line of its run, written by the projection.

Invariant: values at sensitive pointers leave here sealed, and the reference to a value that was stored apart is beside
the value, never in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

from sqlalchemy import RowMapping, select

from playbooks.common.values import Json, JsonObject, PayloadRef, StepError, StepStatus, StepType
from playbooks.engine.model.plan import Plan, PlanStep
from playbooks.engine.model.state import Attempt, StepState, TaskState
from playbooks.engine.rules.redaction import safe_values
from storage.database import json_columns
from storage.database.quarantine import Quarantine
from storage.database.sealing import Sealer
from storage.database.sessions import ReadSession
from storage.database.tables import lines
from storage.runs.payloads import load_payloads

STEP_LINES_BELOW = 500_000
_LARGEST_CONFIDENCE = 9.9999
_AMOUNTS_BELOW = Decimal(10) ** 12 - 1
"""numeric(20,8) has twelve digits before the point; one less leaves room for rounding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRow:
    """One visit of a step as stored. `input`, `output` and vote data are sealed at their sensitive pointers.

    `task` has the votes, claims and decision of a human step, `child` is the run that the step started.
    """

    step_id: UUID | None
    step_key: str
    step_name: str
    step_number: int
    step_type: StepType
    worker_type: str
    visit: int
    seq: int
    status: StepStatus
    started_at: datetime | None
    completed_at: datetime | None
    input: Json
    output: Json
    input_ref: PayloadRef | None
    output_ref: PayloadRef | None
    attempts: tuple[Attempt, ...]
    error: StepError | None
    reason: str | None
    values: JsonObject
    cost: Decimal
    confidence: float | None
    confidence_source: str | None
    wait_until: datetime | None
    is_parked: bool
    task: JsonObject | None
    child: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """The context of a line that is written: values pass `quarantine`, then `sealer`; the line gets `epoch`."""

    epoch: int
    sealer: Sealer
    quarantine: Quarantine


def line_number(plan_step: PlanStep, step: StepState) -> int:
    """The number of a visit's line: the one from the machine, or the step's number for the first visit."""
    return plan_step.number if step.line is None else step.line


def line_values(plan: Plan, step: StepState, out: Outgoing) -> dict[str, Any]:
    """The columns of a step's line, but for its number and its run."""
    plan_step = plan.step(step.key)
    confidence = step.confidence if step.confidence is None or abs(step.confidence) <= _LARGEST_CONFIDENCE else None
    now = step.completed_at or step.started_at
    cost = out.quarantine.take_amount("cost", step.cost, _AMOUNTS_BELOW, step=step.key) or Decimal(0)
    values: dict[str, Any] = {
        "entity_id": plan_step.step_id,
        "line_type": "step_execution",
        "description": plan_step.name,
        "unit_amount": cost,
        "line_amount": cost,
        "smart_code": plan_step.smart_code,
        "ai_confidence": confidence,
        "line_data": _data(plan, plan_step, step, out),
        "version": step.seq,
    }
    if now is not None:
        values |= {"created_at": step.started_at or now, "updated_at": now}
    return values


def sealed_task(plan_step: PlanStep, step: StepState, out: Outgoing) -> Json:
    """The state of a step's task, with votes' forms sealed like the step's output."""
    return None if step.task is None else _task_json(plan_step, step.task, out)


def _data(plan: Plan, plan_step: PlanStep, step: StepState, out: Outgoing) -> JsonObject:
    quarantine = out.quarantine

    def take(column: str, value: Json) -> Json:
        return quarantine.take(column, value, step=step.key)

    data: JsonObject = {
        "epoch": out.epoch,
        "key": step.key,
        "visit": step.visit,
        "index": step.index,
        "incident_at": json_columns.instant_to_json(step.incident_at),
        "status": step.status,
        "step_number": plan_step.number,
        "step_type": plan_step.step_type,
        "worker_type": plan_step.worker_type,
        "started_at": json_columns.instant_to_json(step.started_at),
        "completed_at": json_columns.instant_to_json(step.completed_at),
        "wait_until": json_columns.instant_to_json(step.wait_until),
        "is_parked": step.is_parked,
        "attempts": _attempts(step, quarantine),
        "error": take("error", json_columns.error_to_json(step.error)),
        "reason": quarantine.take_text("reason", step.reason, step=step.key),
        # Without sensitive values: readers with different rights get the same ones.
        "values": take("values", safe_values(plan, step.values)),
        "confidence": take("confidence", step.confidence),
        "confidence_source": quarantine.take_text("confidence_source", step.confidence_source, step=step.key),
        "task": sealed_task(plan_step, step, out),
        "child": None if step.child is None else str(step.child),
    }
    sides = (("input", step.input, plan_step.sensitive_input), ("output", step.output, plan_step.sensitive_output))
    for column, value, pointers in sides:
        if isinstance(value, PayloadRef):
            data[f"{column}_ref"] = json_columns.ref_to_json(value)
        else:
            data[column] = out.sealer.seal(take(column, value), pointers)
    return data


def _attempts(step: StepState, quarantine: Quarantine) -> Json:
    """The attempts, each error quarantined by itself, so that one bad message does not lose the others."""
    attempts: list[Json] = []
    for item in json_columns.as_list(json_columns.attempts_to_json(step.attempts)):
        attempt = json_columns.as_object(item)
        error = quarantine.take("attempts.error", attempt.get("error"), step=step.key)
        if isinstance(error, dict) and "kind" not in error:
            error = json_columns.error_to_json(json_columns.error_from_json(error))
        attempts.append({**attempt, "error": error})
    return attempts


def _task_json(plan_step: PlanStep, task: TaskState, out: Outgoing) -> Json:
    quarantine = out.quarantine
    data = json_columns.as_object(json_columns.task_to_json(replace(task, votes=())))
    votes: list[Json] = []
    for vote in json_columns.as_list(json_columns.as_object(json_columns.task_to_json(task)).get("votes")):
        entry = dict(json_columns.as_object(vote))
        form = quarantine.take("task.votes.data", entry.pop("data", None), step=plan_step.key)
        entry = json_columns.as_object(quarantine.take("task.votes", entry, step=plan_step.key))
        votes.append({**entry, "data": out.sealer.seal(form, plan_step.sensitive_output)})
    data = json_columns.as_object(quarantine.take("task", data, step=plan_step.key))
    return {**data, "votes": votes}


async def list_steps(session: ReadSession, execution_id: UUID, *, with_payloads: bool = True) -> tuple[StepRow, ...]:
    """The run's step lines by number and visit; steps that are still pending have none.

    `with_payloads`: values that were stored apart are read too.
    """
    statement = (
        select(lines.c.entity_id, lines.c.description, lines.c.line_amount, lines.c.version, lines.c.line_data)
        .where(lines.c.organization_id == session.organization_id, lines.c.transaction_id == execution_id)
        .where(lines.c.line_number < STEP_LINES_BELOW, lines.c.line_type == "step_execution")
        .order_by(lines.c.line_number)
    )
    found = (await session.connection.execute(statement)).mappings()
    rows = sorted((_row(row) for row in found), key=lambda row: (row.step_number, row.visit))
    if not with_payloads:
        return tuple(rows)
    wanted = [ref for row in rows for ref in (row.input_ref, row.output_ref) if ref is not None]
    stored = await load_payloads(session, execution_id, wanted)
    return tuple(_with_payloads(row, stored) for row in rows)


def _with_payloads(row: StepRow, stored: Mapping[int, Json]) -> StepRow:
    if row.input_ref is not None:
        row = replace(row, input=stored.get(row.input_ref.line_number))
    if row.output_ref is not None:
        row = replace(row, output=stored.get(row.output_ref.line_number))
    return row


def _row(row: RowMapping) -> StepRow:
    data = json_columns.as_object(row["line_data"])
    confidence = data.get("confidence")
    task = data.get("task")
    return StepRow(
        step_id=row["entity_id"],
        step_key=json_columns.as_text(data.get("key")) or "",
        step_name=row["description"] or "",
        step_number=json_columns.as_int(data.get("step_number")),
        step_type=cast("StepType", data.get("step_type")),
        worker_type=json_columns.as_text(data.get("worker_type")) or "",
        visit=json_columns.as_int(data.get("visit"), 1),
        seq=row["version"] or 0,
        status=cast("StepStatus", data.get("status")),
        started_at=json_columns.instant_from_json(data.get("started_at")),
        completed_at=json_columns.instant_from_json(data.get("completed_at")),
        input=data.get("input"),
        output=data.get("output"),
        input_ref=json_columns.ref_from_json(data.get("input_ref")),
        output_ref=json_columns.ref_from_json(data.get("output_ref")),
        attempts=json_columns.attempts_from_json(data.get("attempts")),
        error=json_columns.error_from_json(data.get("error")),
        reason=json_columns.as_text(data.get("reason")),
        values=json_columns.as_object(data.get("values")),
        cost=row["line_amount"] or Decimal(0),
        confidence=float(confidence) if isinstance(confidence, int | float) else None,
        confidence_source=json_columns.as_text(data.get("confidence_source")),
        wait_until=json_columns.instant_from_json(data.get("wait_until")),
        is_parked=data.get("is_parked") is True,
        task=task if isinstance(task, dict) else None,
        child=json_columns.uuid_from_json(data.get("child")),
    )

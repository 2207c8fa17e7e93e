"""Views of runs, their steps and their audit trail."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from api.context import RequestContext
from api.execution.schemas import EventView
from api.execution.views import attempt_views, duration_ms, error_view, milliseconds, money
from api.http.security import Principal
from api.runs.durations import waiting_time, working_time
from api.runs.read import RunDetails
from api.runs.schemas import (
    CurrentStepView,
    ExecutionSummary,
    ParentView,
    PauseView,
    ProgressView,
    RunPermissions,
    RunView,
    StepView,
    StuckView,
)
from playbooks.common.ids import task_id
from playbooks.common.values import FINISHED_RUN, FINISHED_STEP, Actor, JsonObject
from playbooks.engine.grading import GradeFacts, grade
from playbooks.engine.model.plan import Plan, PlanStep
from playbooks.engine.model.step_ref import StepRef
from storage.runs.audit_trail import EventRow
from storage.runs.run_rows import RunRow
from storage.runs.step_lines import StepRow


def run_view(row: RunRow, principal: Principal) -> RunView:
    """Return a run from its row alone; the functions below add steps, summary and data."""
    finished = sum(status in FINISHED_STEP for status in row.step_statuses.values())
    return RunView(
        execution_id=row.execution_id,
        status=row.status,
        playbook_id=row.playbook_id,
        playbook_name=row.playbook_name,
        playbook_code=row.playbook_code,
        playbook_version=row.playbook_version,
        initiated_by=row.initiator.id,
        initiated_by_name=row.initiator.name,
        priority=row.priority,
        tags=[*row.tags],
        correlation_id=row.correlation_id,
        subject_entity_id=row.subject_entity_id,
        accepted_at=row.accepted_at,
        started_at=row.started_at,
        completed_at=row.completed_at,
        total_steps=row.total_steps,
        completed_steps=row.completed_steps,
        failed_steps=row.failed_steps,
        skipped_steps=row.skipped_steps,
        open_incidents=row.open_incidents,
        progress=_progress(row, finished),
        cost=money(row.cost),
        total_cost=money(row.cost),
        currency=row.currency or "USD",
        error_details=error_view(row.error),
        pause=_pause(row),
        cancel_reason=row.cancel_reason,
        waiting_for=row.waiting_for,
        parent=_parent(row),
        stuck=None if row.stuck is None else StuckView(since=row.stuck.since, reason=row.stuck.reason),
        revision=row.seq,
        permissions=_permissions(row, principal),
    )


def full_view(found: RunDetails, context: RequestContext) -> RunView:
    """Return a run with everything but its steps and its audit trail."""
    view = run_view(found.row, context.principal)
    add_current_step(view, found)
    add_data(view, found.row, context)
    add_summary(view, found)
    return view


def add_data(view: RunView, row: RunRow, context: RequestContext) -> None:
    """Add input and output, with what is sensitive only if the caller may see it."""
    view.input_data = context.reveal(row.input)
    view.output_data = context.reveal(row.output)


def add_current_step(view: RunView, found: RunDetails) -> None:
    """Add the step that an unfinished run is at."""
    row = found.row
    step = next((step for step in found.plan.steps if step.key == row.current_step), None)
    if step is None or row.status in FINISHED_RUN:
        return
    status = row.step_statuses.get(step.key, "pending")
    view.current_step = CurrentStepView.model_validate(
        {"step_name": step.name, "step_key": step.key, "step_number": step.number, "status": status}
    )


def add_summary(view: RunView, found: RunDetails) -> None:
    """Add the run's results so far, with its grade."""
    row, plan, steps = found.row, found.plan, found.steps
    now = row.completed_at or datetime.now(UTC)
    worked = working_time(steps, now)
    estimates = _estimates(plan, steps)
    retries = sum(max(0, len(step.attempts) - 1) for step in steps)
    graded = grade(GradeFacts(failed_steps=row.failed_steps, retries=retries, worked=worked, estimated=estimates))
    tried = row.completed_steps + row.failed_steps
    view.execution_summary = ExecutionSummary(
        performance_grade=graded.letter,
        performance_score=graded.score,
        success_rate=round(row.completed_steps / tried, 4) if tried else 0.0,
        cost=money(row.cost),
        total_cost=money(row.cost),
        currency=row.currency or plan.currency,
        duration_ms=None if row.started_at is None else milliseconds(now - row.started_at),
        working_ms=milliseconds(worked),
        waiting_ms=milliseconds(waiting_time(steps, now)),
        estimated_minutes=sum(step.estimated_minutes or 0.0 for step in plan.steps),
        retries=retries,
    )


def step_views(found: RunDetails, context: RequestContext) -> list[StepView]:
    """Return every step of the plan in order: its visits, items and undo steps as stored, or one pending step."""
    by_key: dict[str, list[StepRow]] = {}
    for step in found.steps:
        by_key.setdefault(StepRef.parse(step.step_key).key, []).append(step)
    views: list[StepView] = []
    for planned in found.plan.steps:
        visits = by_key.get(planned.key, [])
        views += [_step_view(found.row, planned, visit, context) for visit in visits] or [_pending(planned)]
    return views


def event_view(event: EventRow, context: RequestContext) -> EventView:
    """Return one entry of the audit trail."""
    return EventView(
        number=event.number,
        at=event.at,
        kind=event.kind,
        step_key=event.step,
        actor=_actor(event.actor),
        data=context.reveal_object(event.data),
        hash=event.hash,
        previous_hash=event.previous_hash,
    )


def _step_view(row: RunRow, planned: PlanStep, step: StepRow, context: RequestContext) -> StepView:
    return StepView(
        step_id=planned.step_id,
        step_name=planned.name,
        step_key=step.step_key,
        step_number=planned.number,
        visit=step.visit,
        status=step.status,
        worker_type=planned.worker_type,
        step_type=planned.step_type,
        started_at=step.started_at,
        completed_at=step.completed_at,
        duration_ms=duration_ms(step.started_at, step.completed_at),
        input_data=context.reveal(step.input),
        output_data=context.reveal(step.output),
        retry_count=max(0, len(step.attempts) - 1),
        retry_history=attempt_views(step.attempts),
        error=error_view(step.error),
        reason=step.reason,
        cost=money(step.cost),
        confidence=step.confidence,
        confidence_source=step.confidence_source,
        task_id=None if step.task is None else task_id(row.execution_id, step.step_key, step.visit),
        child_execution_id=step.child,
    )


def _pending(planned: PlanStep) -> StepView:
    return StepView(
        step_id=planned.step_id,
        step_name=planned.name,
        step_key=planned.key,
        step_number=planned.number,
        status="pending",
        worker_type=planned.worker_type,
        step_type=planned.step_type,
    )


def _estimates(plan: Plan, steps: Sequence[StepRow]) -> timedelta | None:
    """Return the estimate of the non-human steps that ran; None where the document has no estimate for them."""
    ran = {step.step_key for step in steps if step.started_at is not None and step.status != "skipped"}
    minutes = [
        step.estimated_minutes
        for step in plan.steps
        if step.key in ran and step.step_type != "human" and step.estimated_minutes is not None
    ]
    return timedelta(minutes=sum(minutes)) if minutes else None


def _progress(row: RunRow, finished: int) -> ProgressView:
    if row.status == "completed":
        finished = row.total_steps
    share = finished / row.total_steps if row.total_steps else 1.0
    return ProgressView(finished_steps=finished, total_steps=row.total_steps, percent=round(100 * share, 1))


def _permissions(row: RunRow, principal: Principal) -> RunPermissions:
    may_control = principal.may("runs:control")
    return RunPermissions(
        can_pause=may_control and row.status in ("queued", "in_progress"),
        can_resume=may_control and row.status == "paused",
        can_cancel=may_control and row.status not in FINISHED_RUN,
        can_view_sensitive=principal.may("runs:view_sensitive"),
    )


def _parent(row: RunRow) -> ParentView | None:
    parent = row.parent
    if parent is None:
        return None
    return ParentView(
        execution_id=parent.execution_id,
        step_key=parent.step,
        visit=parent.visit,
        depth=parent.depth,
        mode="wait" if parent.waits else "detach",
    )


def _pause(row: RunRow) -> PauseView | None:
    pause = row.pause
    if pause is None or row.status != "paused":
        return None
    return PauseView(since=pause.since, cause=pause.cause, reason=pause.reason, until=pause.until)


def _actor(actor: Actor | None) -> JsonObject | None:
    if actor is None:
        return None
    return {"id": str(actor.id), "name": actor.name, "via": actor.via}

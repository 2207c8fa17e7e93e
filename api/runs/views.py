"""Runs, their steps and their trail as the contract names their fields."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from api.http.security import Principal
from api.runs.durations import milliseconds, waiting_time, working_time
from api.runs.read import RunDetails
from api.runs.schemas import (
    AttemptView,
    CurrentStepView,
    EventView,
    ExecutionSummary,
    ParentView,
    PauseView,
    ProgressView,
    RunPermissions,
    RunView,
    StepErrorView,
    StepView,
    StuckView,
    money,
)
from api.runs.sensitive import shown, shown_object
from playbooks.common.ids import task_id
from playbooks.common.values import FINISHED_RUN, FINISHED_STEP, Actor, JsonObject, StepError
from playbooks.engine.grading import GradeFacts, grade
from playbooks.engine.model.plan import Plan, PlanStep
from playbooks.engine.model.step_ref import StepRef
from storage.database.sealing import Sealer
from storage.runs.audit_trail import EventRow
from storage.runs.run_rows import RunRow
from storage.runs.step_lines import StepRow


def run_view(row: RunRow, principal: Principal) -> RunView:
    """A run as its own row tells it; steps, summary and data are added by the functions below."""
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
        error_details=_error(row.error),
        pause=_pause(row),
        cancel_reason=row.cancel_reason,
        waiting_for=row.waiting_for,
        parent=_parent(row),
        stuck=None if row.stuck is None else StuckView(since=row.stuck.since, reason=row.stuck.reason),
        revision=row.seq,
        permissions=_permissions(row, principal),
    )


def full_view(found: RunDetails, principal: Principal, sealer: Sealer) -> RunView:
    """A run with everything but its steps and its trail."""
    view = run_view(found.row, principal)
    add_current_step(view, found.row, found.plan)
    add_data(view, found.row, principal, sealer)
    add_summary(view, found.row, found.plan, found.steps)
    return view


def add_data(view: RunView, row: RunRow, principal: Principal, sealer: Sealer) -> None:
    """Input and output; what is sensitive only where the caller may see it."""
    view.input_data = shown(row.input, principal, sealer)
    view.output_data = shown(row.output, principal, sealer)


def add_current_step(view: RunView, row: RunRow, plan: Plan) -> None:
    """Where the run is, by name."""
    found = next((step for step in plan.steps if step.key == row.current_step), None)
    if found is None or row.status in FINISHED_RUN:
        return
    view.current_step = CurrentStepView.model_validate(
        {
            "step_name": found.name,
            "step_key": found.key,
            "step_number": found.number,
            "status": row.step_statuses.get(found.key, "pending"),
        }
    )


def add_summary(view: RunView, row: RunRow, plan: Plan, steps: Sequence[StepRow]) -> None:
    """What the run came to so far, with its grade."""
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


def step_views(
    row: RunRow, plan: Plan, steps: Sequence[StepRow], principal: Principal, sealer: Sealer
) -> list[StepView]:
    """Every step of the plan in order: its visits, items and undoings as stored, or as pending."""
    views: list[StepView] = []
    of_step: dict[str, list[StepRow]] = {}
    for step in steps:
        of_step.setdefault(StepRef.parse(step.step_key).key, []).append(step)
    for planned in plan.steps:
        visits = of_step.get(planned.key, [])
        views += [_step_view(row, planned, visit, principal, sealer) for visit in visits] or [_pending(planned)]
    return views


def event_view(event: EventRow, principal: Principal, sealer: Sealer) -> EventView:
    """One entry of the audit trail."""
    return EventView(
        number=event.number,
        at=event.at,
        kind=event.kind,
        step_key=event.step,
        actor=_actor(event.actor),
        data=shown_object(event.data, principal, sealer),
        hash=event.hash,
        previous_hash=event.previous_hash,
    )


def _step_view(row: RunRow, planned: PlanStep, step: StepRow, principal: Principal, sealer: Sealer) -> StepView:
    took = step.completed_at - step.started_at if step.started_at and step.completed_at else None
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
        duration_ms=None if took is None else milliseconds(took),
        input_data=shown(step.input, principal, sealer),
        output_data=shown(step.output, principal, sealer),
        retry_count=max(0, len(step.attempts) - 1),
        retry_history=[
            AttemptView(
                attempt=attempt.number,
                started_at=attempt.started_at,
                completed_at=attempt.ended_at,
                error=_error(attempt.error),
                lost=attempt.lost,
            )
            for attempt in step.attempts
        ],
        error=_error(step.error),
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
    """The estimate of the steps that ran and that no person does; None where their author gave none."""
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


def _error(error: StepError | None) -> StepErrorView | None:
    if error is None:
        return None
    return StepErrorView(kind=error.kind, code=error.code, message=error.message, pointer=error.pointer)


def _actor(actor: Actor | None) -> JsonObject | None:
    if actor is None:
        return None
    return {"id": str(actor.id), "name": actor.name, "via": actor.via}

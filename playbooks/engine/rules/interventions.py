"""Interventions: a step is retried, skipped, completed or failed by hand.

On a person's task they need the same identity as a decision. A finished step never changes.
"""

from __future__ import annotations

from playbooks.common.errors import RefusalCode
from playbooks.common.values import FINISHED_STEP, Actor, Json, StepError
from playbooks.engine.model.control_messages import RetryStep, StepAction
from playbooks.engine.model.plan import PlanStep
from playbooks.engine.model.state import StepState
from playbooks.engine.rules import steps
from playbooks.engine.rules.draft import Draft
from playbooks.engine.rules.outcomes import complete, fail
from playbooks.engine.rules.visits import drop_loop, end_from_outside


def refusal_of(step: PlanStep, current: StepState, action: StepAction, actor: Actor | None) -> RefusalCode | None:
    """Return the code of the refusal, or None. `required_roles` apply to steps without a task as well."""
    if current.status in FINISHED_STEP:
        return "INVALID_STEP_STATE"
    if isinstance(action, RetryStep) and current.incident_at is None:
        return "INVALID_STEP_STATE"
    if step.required_roles and (actor is None or not set(actor.roles) & set(step.required_roles)):
        return "NOT_ELIGIBLE"
    return None


def skip_step(draft: Draft, current: StepState, output: Json, reason: str | None) -> None:
    """End the step as skipped; an output that is given counts as its output."""
    why = reason or "skipped by hand"
    end_from_outside(draft, current, why)
    draft.update_step(draft.step(current.key), status="skipped", output=output, error=None)
    drop_loop(draft, current.key, why)
    draft.record("step_skipped", step=current.key, data={"reason": why, "values": {}})


def complete_step(draft: Draft, step: PlanStep, current: StepState, output: Json) -> None:
    """End the step as completed, with this output; items that are on their way are cancelled."""
    end_from_outside(draft, current, "completed by hand")
    drop_loop(draft, current.key, "completed by hand")
    # Who completes a step by hand means it to be over.
    done = draft.update_step(draft.step(current.key), output=output, reason=None)
    complete(draft, step, done, may_repeat=False)


def fail_step(draft: Draft, step: PlanStep, current: StepState, reason: str | None) -> None:
    """End the step as failed, with all that follows from it."""
    error = current.error if current.incident_at is not None else None
    message = reason or f"step '{step.name}' was failed by hand"
    end_from_outside(draft, current, message)
    drop_loop(draft, current.key, message)
    ended = draft.update_step(draft.step(current.key), incident_at=current.incident_at or draft.at)
    fail(draft, step, ended, error or StepError(kind="business_rule", code="FAILED_BY_HAND", message=message))


def retry_step(draft: Draft, step: PlanStep, current: StepState) -> None:
    """Try a step again that became an incident: with a fresh count of attempts, or as a new visit where it makes none.

    People's tasks, timers and signals wait again from the beginning, and what could not be prepared is prepared again.
    """
    if step.carrier not in steps.WAITING and current.attempts:
        attempts_before_retry = len(current.attempts)
        draft.update_step(
            current,
            status="in_progress",
            incident_at=None,
            error=None,
            reason=None,
            attempts_before_retry=attempts_before_retry,
        )
        steps.attempt_or_hold(draft, step)
        return
    draft.archive_visit(draft.update_step(current, status="failed", completed_at=draft.at, incident_at=None))
    line = draft.further_line()
    draft.update_step(
        StepState(key=current.key, visit=current.visit + 1, line=line, item=current.item, index=current.index)
    )

"""Runs of other playbooks that steps start: wait for them, read their results, cancel them.

A child's result is read from its row; a notification only starts that, so one that is lost, late or repeated changes
nothing. A child's end counts once, for the visit that started it, and the step's retry policy does not apply to it.
"""

from __future__ import annotations

from datetime import timedelta

from playbooks.common.values import StepError
from playbooks.engine.model.commands import ReadChild
from playbooks.engine.model.plan import ChildPlan, PlanStep
from playbooks.engine.model.state import StepState
from playbooks.engine.model.temporal_messages import StepOutcome
from playbooks.engine.model.timers import StepTimer
from playbooks.engine.rules.draft import Draft
from playbooks.engine.rules.outcomes import complete, fail
from playbooks.engine.rules.visits import cancel_child, child_id

_NOTHING_BEGAN = frozenset({"validation", "permission", "not_found", "business_rule"})
"""Kinds of errors with which a start was refused; after any other one there may be a child all the same."""


def on_started(draft: Draft, step: PlanStep, rules: ChildPlan, current: StepState) -> None:
    """Complete the step whose child was accepted, or wait for the child."""
    child = child_id(draft.state, current)
    draft.record("child_started", step=step.key, data={"execution_id": str(child), "playbook": rules.code})
    if not rules.waits:
        complete(draft, step, draft.update_step(current, child=child))
        return
    draft.update_step(current, status="waiting", child=child, output=None)
    if rules.timeout_seconds is not None:
        due = draft.at + timedelta(seconds=rules.timeout_seconds)
        draft.start_timer(StepTimer("child", current.key, current.visit), due, f"{step.name}: the child's time")
    # It may have ended before anybody waited for it.
    _look(draft, current)


def on_not_started(draft: Draft, current: StepState, error: StepError) -> None:
    """Cancel the child that one of the failed attempts may have started."""
    if error.kind not in _NOTHING_BEGAN:
        cancel_child(draft, current)


def on_notified(draft: Draft, step: PlanStep, visit: int) -> bool:
    """Read the child's row, which may have ended; false where the step does not wait for it."""
    current = draft.step(step.key)
    if not _waits(current, visit):
        return False
    _look(draft, current)
    return True


def on_read(draft: Draft, step: PlanStep, visit: int, outcome: StepOutcome) -> None:
    """Handle the child's result. `ready`: it has not ended."""
    current = draft.step(step.key)
    if not _waits(current, visit) or outcome.status == "ready":
        return
    draft.stop_step_timers(current, "child")
    if outcome.status == "succeeded":
        complete(draft, step, draft.update_step(current, output=outcome.output))
        return
    missing = StepError(kind="system", code="INTERNAL_ERROR", message="the child's end could not be read")
    fail(draft, step, current, outcome.error or missing)


def on_timeout(draft: Draft, step: PlanStep, visit: int) -> None:
    """Cancel a child that took longer than the step's timeout."""
    current = draft.step(step.key)
    if _waits(current, visit):
        cancel_child(draft, current)
        message = f"the run that step '{step.name}' started took longer than the step's timeout"
        fail(draft, step, current, StepError(kind="timeout", code="STEP_TIMEOUT", message=message))


def _waits(current: StepState, visit: int) -> bool:
    is_waiting = current.status == "waiting" and current.incident_at is None
    return is_waiting and current.child is not None and current.visit == visit


def _look(draft: Draft, current: StepState) -> None:
    draft.command(ReadChild(step=current.key, visit=current.visit))

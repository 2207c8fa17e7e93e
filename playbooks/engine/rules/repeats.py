"""`repeat`: visits of a step that follow each other while its condition holds."""

from __future__ import annotations

from datetime import timedelta

from playbooks.engine.model.plan import BackPlan, PlanStep
from playbooks.engine.model.state import StepState
from playbooks.engine.model.temporal_messages import LoopOutcome
from playbooks.engine.model.timers import StepTimer
from playbooks.engine.rules import visits
from playbooks.engine.rules.draft import Draft
from playbooks.engine.rules.outcomes import complete, fail
from playbooks.engine.rules.redaction import safe_values


def on_evaluated(draft: Draft, step: PlanStep, current: StepState, outcome: LoopOutcome) -> None:
    """Handle the evaluated condition of a `repeat`."""
    if step.repeat is None or not current.is_evaluating_repeat:
        return
    if outcome.error is not None:
        fail(draft, step, draft.update_step(current, is_evaluating_repeat=False), outcome.error)
        return
    values = safe_values(draft.plan, outcome.values)
    draft.record("repeat_evaluated", step=step.key, data={"holds": outcome.holds, "values": values})
    if not outcome.holds:
        complete(draft, step, current, may_repeat=False)
    elif step.repeat.delay_seconds:
        due = draft.at + timedelta(seconds=step.repeat.delay_seconds)
        draft.start_timer(StepTimer("repeat", current.key, current.visit), due, f"{step.name}: before it is done again")
    else:
        _again(draft, step, step.repeat, current)


def on_delay_over(draft: Draft, step: PlanStep, current: StepState, visit: int) -> None:
    """Begin the next visit after its delay."""
    if step.repeat is not None and current.visit == visit and current.is_evaluating_repeat:
        _again(draft, step, step.repeat, current)


def _again(draft: Draft, step: PlanStep, repeat: BackPlan, current: StepState) -> None:
    """Complete the visit, and begin the next one."""
    complete(draft, step, current, may_repeat=False)
    if not draft.is_finished and draft.state.ending is None:
        visits.go_back(draft, step.key, repeat)

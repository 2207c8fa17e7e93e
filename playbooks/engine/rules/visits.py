"""Steps that are visited again (repeats, jumps, decisions that send a run back), and steps that are ended from outside.

Invariants: a finished visit never changes (the next flush writes it from `past`), and every way back has a bound.
"""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from playbooks.common import ids
from playbooks.common.values import FINISHED_STEP, StepError
from playbooks.engine.model.commands import CancelChild, CancelStep, EvaluateLoop
from playbooks.engine.model.plan import BackPlan, PlanStep
from playbooks.engine.model.state import FIRST_FURTHER_LINE, MAX_FURTHER_LINES, Attempt, RunState, StepState, TaskState
from playbooks.engine.rules.draft import Draft
from playbooks.engine.rules.ordering import downstream, only_for


def may_go_back(draft: Draft, back: BackPlan) -> bool:
    """Return whether the bound of this way back, and a run's bound of lines, allow one more visit."""
    lines = draft.state.next_line + len(draft.plan.steps)
    return draft.step(back.step).visit < back.max and lines < FIRST_FURTHER_LINE + MAX_FURTHER_LINES


def limit_error(step: PlanStep, back: BackPlan) -> StepError:
    """Return the error of a run that cannot be sent back once more."""
    message = f"step '{step.name}' sent the run back to '{back.step}' {back.max - 1} times, which is the most"
    return StepError(kind="business_rule", code="LOOP_LIMIT", message=message)


def go_back(draft: Draft, source: str, back: BackPlan) -> None:
    """Visit the way's step again, and every step that depends on it."""
    draft.record("went_back", step=source, data={"to": back.step, "visit": draft.step(back.step).visit + 1})
    for key in downstream(draft.plan, back.step):
        current = draft.step(key)
        if current.status == "pending":
            continue
        reason = f"the run went back to step '{back.step}'"
        end_from_outside(draft, current, reason)
        drop_loop(draft, key, reason)
        before = draft.archive_visit(draft.step(key))
        draft.update_step(StepState(key=key, visit=before.visit + 1, line=draft.further_line()))


def jump(draft: Draft, source: str, target: str) -> None:
    """Continue at a later step; the steps between are skipped."""
    draft.record("jumped", step=source, data={"to": target})
    kept = downstream(draft.plan, target)
    for key in downstream(draft.plan, source):
        current = draft.step(key)
        if key not in kept and current.status == "pending":
            reason = f"step '{source}' failed, and the run went on at '{target}'"
            draft.update_step(current, status="skipped", completed_at=draft.at, reason=reason)
            draft.record("step_skipped", step=key, data={"reason": reason, "values": {}})


def end_from_outside(draft: Draft, current: StepState, reason: str) -> None:
    """Cancel a step that is not finished, with its work and its items."""
    if current.status in FINISHED_STEP:
        return
    if current.status != "pending":
        draft.command(CancelStep(step=current.key, visit=current.visit))
    cancel_child(draft, current)
    draft.stop_step_timers(current)
    draft.update_step(
        current,
        status="cancelled",
        reason=reason,
        completed_at=draft.at,
        is_evaluating_repeat=False,
        incident_at=None,
        attempts=tuple(_closed(attempt, draft) for attempt in current.attempts),
        task=None if current.task is None else _closed_task(current.task, draft),
    )
    for item in draft.items_of(current.key):
        end_from_outside(draft, item, reason)


def cancel_child(draft: Draft, current: StepState) -> None:
    """Cancel the run that the step waits for, or may have started; a detached one continues."""
    child = draft.plan.step(current.key).child
    if child is not None and child.waits and current.attempts:
        command = CancelChild(step=current.key, visit=current.visit, child=child_id(draft.state, current))
        draft.command(command)


def child_id(state: RunState, current: StepState) -> UUID:
    """Return the run that this visit of a step starts; a retry by hand starts another one."""
    key = ids.effect_key(state.execution_id, current.key, current.visit, current.attempts_before_retry)
    return ids.child_execution_id(state.organization_id, key)


def _closed(attempt: Attempt, draft: Draft) -> Attempt:
    return attempt if attempt.ended_at else replace(attempt, ended_at=draft.at)


def _closed_task(task: TaskState, draft: Draft) -> TaskState:
    return task if task.closed_at else replace(task, closed_at=draft.at)


def drop_loop(draft: Draft, key: str, reason: str) -> None:
    """End a loop and its items, also where its step is finished and items continue."""
    for item in draft.items_of(key):
        end_from_outside(draft, item, reason)
        draft.archive_visit(draft.step(item.key))
    if key in draft.state.loops:
        draft.set_internal(loops={name: loop for name, loop in draft.state.loops.items() if name != key})


def cancel_others(draft: Draft, step: PlanStep) -> None:
    """Cancel the unfinished steps that lead to this join, which has what it needs, and to nothing else."""
    for key in only_for(draft.plan, step.key):
        current = draft.step(key)
        if current.status not in FINISHED_STEP:
            reason = f"step '{step.name}' did not need it any more"
            end_from_outside(draft, current, reason)
            # Else its items would count as failed, and fail a step that is cancelled.
            drop_loop(draft, key, reason)
            draft.record("step_cancelled", step=key, data={"reason": reason})


def evaluate_repeat(draft: Draft, step: PlanStep, current: StepState) -> bool:
    """Evaluate whether a step that did its work is repeated; false where it cannot be."""
    if step.repeat is None or not may_go_back(draft, step.repeat):
        return False
    draft.update_step(current, status="in_progress", is_evaluating_repeat=True)
    draft.command(EvaluateLoop(step=current.key, visit=current.visit))
    return True

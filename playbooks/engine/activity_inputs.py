"""Inputs of activities, from a plan, a state and a command. Equal arguments give equal inputs.

A step's input carries only those parts of the context that its expressions read.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypedDict
from uuid import UUID

from playbooks.common import ids
from playbooks.common.values import Held, Json, JsonObject, PayloadRef
from playbooks.engine.context import build_context
from playbooks.engine.model.commands import CancelChild, Notify
from playbooks.engine.model.control_messages import CompleteStep, Decide, StepAction
from playbooks.engine.model.plan import Plan, PlanStep
from playbooks.engine.model.state import Request, RunState, StepState
from playbooks.engine.model.step_ref import StepRef
from playbooks.engine.model.temporal_messages import (
    AcquireCall,
    CancelCall,
    CheckCall,
    ChildCall,
    CollectCall,
    ConcurrencyLimit,
    LoopCall,
    NotificationCall,
    NotifyNextCall,
    NotifyParentCall,
    OutputCall,
    ParentRun,
    StepCall,
    TaskCall,
)
from playbooks.engine.rules.outcomes import price_of
from playbooks.engine.rules.signals import contracts_of
from playbooks.engine.rules.verdicts import find_target


class _Run(TypedDict):
    organization_id: UUID
    execution_id: UUID
    playbook_id: UUID


def _run_of(plan: Plan, state: RunState) -> _Run:
    return {
        "organization_id": state.organization_id,
        "execution_id": state.execution_id,
        "playbook_id": plan.playbook_id,
    }


def step_call(plan: Plan, state: RunState, step: PlanStep, attempt: int) -> StepCall:
    """Return the input of one attempt at a step; attempt 0 is its preparation."""
    current = state.steps[step.key]
    is_prepared = current.ready and step.for_each is None
    references = (*step.references, *step.items_references) if step.for_each is not None else step.references
    context, stored = build_context(_state_at_completion(state, step.key), references)
    items = _add_item(context, state, current)
    return StepCall(
        **_run_of(plan, state),
        step=step.key,
        visit=current.visit,
        attempt=attempt,
        effect_key=ids.effect_key(
            state.execution_id, step.key, current.visit, current.attempts_before_retry if step.child else 0
        ),
        context=context,
        stored=stored,
        is_prepared=is_prepared,
        prepared_input=current.input if is_prepared else None,
        is_debug=state.debug,
        line=current.line,
        opens_loop=step.for_each is not None,
        items=items,
        index=current.index,
    )


def _state_at_completion(state: RunState, key: str) -> RunState:
    """Return the run with the output of the visit that is undone: the step may have been visited again since."""
    ref = StepRef.parse(key)
    if not ref.is_undo or not state.undo:
        return state
    undo, name = state.undo[-1], ref.key
    done = StepState(key=name, visit=undo.visit, status="completed", output=undo.output)
    return replace(state, steps={**state.steps, name: done})


def _add_item(context: JsonObject, state: RunState, current: StepState) -> PayloadRef | None:
    """Put an item's value into its context; where the list is stored, return its reference instead."""
    ref = StepRef.parse(current.key)
    if ref.index is None or ref.is_undo:
        return None
    context["index"] = ref.index
    loop = state.loops.get(ref.key)
    if loop is not None and isinstance(loop.items, PayloadRef):
        return loop.items
    context["item"] = None if isinstance(current.item, PayloadRef) else current.item
    return None


def loop_call(plan: Plan, state: RunState, key: str) -> LoopCall:
    """Return what the condition of a loop reads: the references of `repeat.while`, or the counts of a `for_each`."""
    step, loop = plan.step(key), state.loops.get(key)
    if loop is not None and not state.steps[key].is_evaluating_repeat:
        counts: JsonObject = {name: getattr(loop, name) for name in ("count", "completed", "failed", "skipped")}
        results: list[Json] = [value for _, value in _in_order(loop.results) if not isinstance(value, PayloadRef)]
        context: JsonObject = {"loop": {**counts, "results": results}}
        stored: dict[str, PayloadRef] = {}
    else:
        # The visit is not counted before it is known to be over; its condition reads the run as if it were.
        done = replace(state.steps[key], status="completed")
        after = replace(state, steps={**state.steps, key: done}, cost=state.cost + price_of(step, done))
        context, stored = build_context(after, step.loop_references)
    return LoopCall(
        **_run_of(plan, state),
        step=key,
        context=context,
        stored=stored,
    )


def collect_call(plan: Plan, state: RunState, key: str) -> CollectCall:
    """Return the results from which the output of a `for_each` step is made."""
    loop = state.loops[key]
    return CollectCall(
        **_run_of(plan, state),
        step=key,
        line=state.steps[key].line or plan.step(key).number,
        count=loop.count,
        completed=loop.completed,
        failed=loop.failed,
        skipped=loop.skipped,
        results=loop.results,
    )


def child_call(plan: Plan, state: RunState, key: str) -> ChildCall | None:
    """Return the run that a step waits for, or None where it no longer does."""
    current = state.steps[key]
    if current.child is None:
        return None
    return ChildCall(
        **_run_of(plan, state),
        step=key,
        line=current.line or plan.step(key).number,
        child=current.child,
    )


def _in_order(results: dict[str, Held]) -> list[tuple[int, Held]]:
    return sorted((int(index), value) for index, value in results.items())


def check_call(plan: Plan, state: RunState, request: Request) -> CheckCall:
    """Return the check of a message's identity and, where it approves, of its form."""
    action = request.message.action
    step = find_target(plan, state, action)
    task = state.steps[step.key].task if step else None
    is_review = task is not None and task.is_review
    return CheckCall(
        **_run_of(plan, state),
        message=request.message,
        step=step.key if step else None,
        task_id=ids.task_id(state.execution_id, step.key, state.steps[step.key].visit) if step else None,
        needs_person=isinstance(action, StepAction) and step is not None and step.carrier == "task",
        checks_output=isinstance(action, CompleteStep) and step is not None and _has_checked_output(step),
        # Who reviews an AI's answer may approve it as it is; any other form is required to approve.
        checks_form=isinstance(action, Decide)
        and action.decision == "approve"
        and (not is_review or action.data is not None),
        signal_steps=contracts_of(plan, action),
    )


def _has_checked_output(step: PlanStep) -> bool:
    """Return whether the contract describes the step's whole output: not a form, nor a single item's."""
    return step.carrier != "task" and step.for_each is None


def task_call(plan: Plan, state: RunState, key: str, visit: int) -> TaskCall | None:
    """Return the task of a visit, or None where a flush has taken the finished visit already."""
    visits = [step for step in (*state.past, state.steps.get(key)) if step is not None]
    found = next((step for step in visits if (step.key, step.visit) == (key, visit)), None)
    if found is None:
        return None
    return TaskCall(
        **_run_of(plan, state),
        seq=state.seq,
        step=found,
    )


def notification_call(plan: Plan, state: RunState, command: Notify, settings: JsonObject | None) -> NotificationCall:
    """Return a notification, with the run's own `notification_settings`."""
    data: JsonObject = {"status": state.status, "step": command.step, "settings": settings}
    return NotificationCall(
        **_run_of(plan, state),
        kind=command.kind,
        key=command.key,
        data=data,
    )


def output_call(plan: Plan, state: RunState) -> OutputCall:
    """Return what the run's output mapping reads, or the outputs of its final steps."""
    references = plan.output_references or tuple(("steps", key) for key in plan.final_steps)
    context, stored = build_context(state, references)
    return OutputCall(
        **_run_of(plan, state),
        context=context,
        stored=stored,
    )


def cancel_child_call(state: RunState, command: CancelChild) -> CancelCall:
    """Return the cancel of a run that a step started."""
    reason = f"step '{command.step}' of run {state.execution_id}, which started it, does not wait for it any more"
    return CancelCall(organization_id=state.organization_id, execution_id=command.child, reason=reason)


def notify_parent_call(state: RunState, parent: ParentRun) -> NotifyParentCall:
    """Return the notification to the parent that this run has ended."""
    return NotifyParentCall(organization_id=state.organization_id, execution_id=state.execution_id, parent=parent)


def acquire_call(state: RunState, limit: ConcurrencyLimit, *, cancels_oldest: bool) -> AcquireCall:
    """Return the request for the concurrency limit."""
    return AcquireCall(
        organization_id=state.organization_id,
        execution_id=state.execution_id,
        limit=limit,
        cancels_oldest=cancels_oldest,
    )


def notify_next_call(state: RunState, limit: ConcurrencyLimit) -> NotifyNextCall:
    """Return the notification to other runs of the key that this run has ended."""
    return NotifyNextCall(organization_id=state.organization_id, limit=limit)


def cancel_call(state: RunState) -> CancelCall:
    """Return the cancel of this run's own workflow."""
    return CancelCall(
        organization_id=state.organization_id, execution_id=state.execution_id, reason=state.cancel_reason
    )

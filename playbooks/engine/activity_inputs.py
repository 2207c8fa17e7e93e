"""What an activity is told: the calls that follow from a plan, a state and a command.

Owns how much of a run each call carries: a step's call has the parts of the context that its expressions read, and no
more. Must not know how a call is carried. Equal arguments give equal calls.
"""

from __future__ import annotations

from dataclasses import replace

from playbooks.common import ids
from playbooks.common.values import Held, Json, JsonObject, PayloadRef
from playbooks.engine.context import build_context
from playbooks.engine.model.commands import CancelChild, Notify
from playbooks.engine.model.control_messages import STEP_VERBS
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
from playbooks.engine.rules.control import find_target
from playbooks.engine.rules.outcomes import price_of
from playbooks.engine.rules.signals import contracts_of


def step_call(plan: Plan, state: RunState, step: PlanStep, attempt: int) -> StepCall:
    """One attempt at a step; attempt 0 is its preparation."""
    current = state.steps[step.key]
    is_prepared = current.ready and step.for_each is None
    references = (*step.references, *step.items_references) if step.for_each is not None else step.references
    context, stored = build_context(_as_it_was_done(state, step.key), references)
    items = _add_item(context, state, current)
    return StepCall(
        organization_id=state.organization_id,
        execution_id=state.execution_id,
        playbook_id=plan.playbook_id,
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


def _as_it_was_done(state: RunState, key: str) -> RunState:
    """For what undoes a visit: the run with that visit's output, whatever became of the step since."""
    ref = StepRef.parse(key)
    if not ref.is_undo or not state.undo:
        return state
    undo, name = state.undo[-1], ref.key
    done = StepState(key=name, visit=undo.visit, status="completed", output=undo.output)
    return replace(state, steps={**state.steps, name: done})


def _add_item(context: JsonObject, state: RunState, current: StepState) -> PayloadRef | None:
    """Put an item's value into its context; where the list is stored, the reference goes with the call instead."""
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
    """Whether a loop goes on: what `repeat.while` reads, or the counts of a `for_each`."""
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
        organization_id=state.organization_id,
        execution_id=state.execution_id,
        playbook_id=plan.playbook_id,
        step=key,
        context=context,
        stored=stored,
    )


def collect_call(plan: Plan, state: RunState, key: str) -> CollectCall:
    """The output of a `for_each` step, from what its items made so far."""
    loop = state.loops[key]
    return CollectCall(
        organization_id=state.organization_id,
        execution_id=state.execution_id,
        playbook_id=plan.playbook_id,
        step=key,
        line=state.steps[key].line or plan.step(key).number,
        count=loop.count,
        completed=loop.completed,
        failed=loop.failed,
        skipped=loop.skipped,
        results=loop.results,
    )


def child_call(plan: Plan, state: RunState, key: str) -> ChildCall | None:
    """The look at the run that a step waits for; None where it does not any more."""
    current = state.steps[key]
    if current.child is None:
        return None
    return ChildCall(
        organization_id=state.organization_id,
        execution_id=state.execution_id,
        playbook_id=plan.playbook_id,
        step=key,
        line=current.line or plan.step(key).number,
        child=current.child,
    )


def _in_order(results: dict[str, Held]) -> list[tuple[int, Held]]:
    return sorted((int(index), value) for index, value in results.items())


def check_call(plan: Plan, state: RunState, request: Request) -> CheckCall:
    """The check of a message's identity and, where it approves, of its form."""
    envelope = request.envelope
    step = find_target(plan, state, envelope)
    task = state.steps[step.key].task if step else None
    is_review = task is not None and task.is_review
    approves = envelope.verb == "decide" and envelope.body.get("decision") == "approve"
    return CheckCall(
        organization_id=state.organization_id,
        execution_id=state.execution_id,
        playbook_id=plan.playbook_id,
        envelope=envelope,
        step=step.key if step else None,
        task_id=ids.task_id(state.execution_id, step.key, state.steps[step.key].visit) if step else None,
        needs_person=envelope.verb in STEP_VERBS and step is not None and step.carrier == "task",
        checks_output=envelope.verb == "complete_step" and step is not None and _has_checked_output(step),
        # Who reviews an AI's answer may approve it as it is; any other form is required to approve.
        checks_form=approves and (not is_review or "data" in envelope.body),
        signal_steps=contracts_of(plan, envelope),
    )


def _has_checked_output(step: PlanStep) -> bool:
    """Whether the contract speaks of the step's whole output: not of a form, nor of an item's alone."""
    return step.carrier != "task" and step.for_each is None


def task_call(plan: Plan, state: RunState, key: str, visit: int) -> TaskCall | None:
    """The announcement of a visit's task; None where the visit is over and already on its way to the rows."""
    visits = [step for step in (*state.past, state.steps.get(key)) if step is not None]
    found = next((step for step in visits if (step.key, step.visit) == (key, visit)), None)
    if found is None:
        return None
    return TaskCall(
        organization_id=state.organization_id,
        execution_id=state.execution_id,
        playbook_id=plan.playbook_id,
        seq=state.seq,
        step=found,
    )


def notification_call(plan: Plan, state: RunState, command: Notify, settings: JsonObject | None) -> NotificationCall:
    """A notification, with the run's own `notification_settings`."""
    data: JsonObject = {"status": state.status, "step": command.step, "settings": settings}
    return NotificationCall(
        organization_id=state.organization_id,
        execution_id=state.execution_id,
        playbook_id=plan.playbook_id,
        kind=command.kind,
        key=command.key,
        data=data,
    )


def output_call(plan: Plan, state: RunState) -> OutputCall:
    """The run's output, from what its mapping reads, or from its final steps."""
    references = plan.output_references or tuple(("steps", key) for key in plan.final_steps)
    context, stored = build_context(state, references)
    return OutputCall(
        organization_id=state.organization_id,
        execution_id=state.execution_id,
        playbook_id=plan.playbook_id,
        context=context,
        stored=stored,
    )


def cancel_child_call(state: RunState, command: CancelChild) -> CancelCall:
    """The cancel of a run that a step started."""
    reason = f"step '{command.step}' of run {state.execution_id}, which started it, does not wait for it any more"
    return CancelCall(organization_id=state.organization_id, execution_id=command.child, reason=reason)


def notify_parent_call(state: RunState, parent: ParentRun) -> NotifyParentCall:
    """The run has ended: its parent may read how."""
    return NotifyParentCall(organization_id=state.organization_id, execution_id=state.execution_id, parent=parent)


def acquire_call(state: RunState, limit: ConcurrencyLimit, *, cancels_oldest: bool) -> AcquireCall:
    """A place under the concurrency limit."""
    return AcquireCall(
        organization_id=state.organization_id,
        execution_id=state.execution_id,
        limit=limit,
        cancels_oldest=cancels_oldest,
    )


def notify_next_call(state: RunState, limit: ConcurrencyLimit) -> NotifyNextCall:
    """The run has ended: others of its key may begin."""
    return NotifyNextCall(organization_id=state.organization_id, limit=limit)


def cancel_call(state: RunState) -> CancelCall:
    """The cancel that Temporal has to be asked for."""
    return CancelCall(
        organization_id=state.organization_id, execution_id=state.execution_id, reason=state.cancel_reason
    )

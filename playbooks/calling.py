"""What an activity is told: the calls that follow from a plan, a state and a command.

Owns how much of a run each call carries: a step's call has the parts of the context that its expressions read, and no
more. Must not know how a call is carried. Equal arguments give equal calls.
"""

from __future__ import annotations

from playbooks import ids
from playbooks.commands import Notify
from playbooks.context import build_context
from playbooks.messages import CancelCall, CheckCall, NotificationCall, OutputCall, StepCall, TaskCall
from playbooks.plan import Plan, PlanStep
from playbooks.rules.control import find_target
from playbooks.state import Request, RunState
from playbooks.values import JsonObject


def step_call(plan: Plan, state: RunState, step: PlanStep, attempt: int) -> StepCall:
    """One attempt at a step; attempt 0 is its preparation."""
    current = state.steps[step.key]
    context, stored = build_context(state, step.references)
    return StepCall(
        organization_id=state.organization_id,
        execution_id=state.execution_id,
        playbook_id=plan.playbook_id,
        step=step.key,
        visit=current.visit,
        attempt=attempt,
        effect_key=ids.effect_key(state.execution_id, step.key, current.visit),
        context=context,
        stored=stored,
        is_prepared=current.ready,
        prepared_input=current.input if current.ready else None,
        is_debug=state.debug,
    )


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
        # Who reviews an AI's answer may approve it as it is; any other form is required to approve.
        checks_form=approves and (not is_review or "data" in envelope.body),
    )


def task_call(plan: Plan, state: RunState, key: str) -> TaskCall:
    """The announcement of a step's task."""
    return TaskCall(
        organization_id=state.organization_id,
        execution_id=state.execution_id,
        playbook_id=plan.playbook_id,
        seq=state.seq,
        step=state.steps[key],
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


def cancel_call(state: RunState) -> CancelCall:
    """The cancel that Temporal has to be asked for."""
    return CancelCall(
        organization_id=state.organization_id, execution_id=state.execution_id, reason=state.cancel_reason
    )

"""Tasks of people: opened by a step, claimed, closed by votes or by time.

The one place that decides about people on every path: REST, ticket, signal, and votes kept while paused.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from playbooks.common import ids
from playbooks.common.errors import RefusalCode
from playbooks.common.values import Actor, Json, PayloadRef, StepError
from playbooks.engine.model.commands import Notify, OpenTask
from playbooks.engine.model.plan import ApprovalPlan, PlanStep
from playbooks.engine.model.state import StepState, TaskDecision, TaskState, Vote
from playbooks.engine.model.timers import StepTimer
from playbooks.engine.rules import endings, visits
from playbooks.engine.rules.approvals import decision_of, is_separated, task_output
from playbooks.engine.rules.draft import Draft
from playbooks.engine.rules.outcomes import complete, fail


def open_task(draft: Draft, step: PlanStep, current: StepState, *, is_review: bool = False) -> None:
    """Open the task, and start the timers of its window."""
    rules = step.decision_rules
    task = TaskState(
        id=ids.task_id(draft.state.execution_id, step.key, current.visit),
        opened_at=draft.at,
        roles=step.required_roles,
        is_review=is_review,
    )
    waiting = draft.update_step(current, status="waiting", task=task)
    draft.record("task_opened", step=step.key, data={"task_id": str(task.id), "roles": list(task.roles)})
    _start_window(draft, step, waiting, rules)
    draft.command(OpenTask(step=step.key, visit=current.visit))


def _start_window(draft: Draft, step: PlanStep, current: StepState, rules: ApprovalPlan) -> None:
    if rules.window_minutes is None or current.task is None:
        return
    due = draft.at + timedelta(minutes=rules.window_minutes)
    draft.start_timer(StepTimer("window", step.key, current.visit), due, f"{step.name}: window for decisions")
    draft.update_step(draft.step(step.key), task=replace(current.task, due_at=due))
    for position, minutes in enumerate(rules.reminder_minutes):
        reminder = StepTimer("reminder", step.key, current.visit, position)
        draft.start_timer(reminder, draft.at + timedelta(minutes=minutes), f"{step.name}: reminder {position + 1}")


def refusal_of(draft: Draft, step: PlanStep, actor: Actor) -> RefusalCode | None:
    """Return the code with which this person may not decide this step, or None.

    Also valid before the task is open: a decision may come early.
    """
    rules, task = step.decision_rules, draft.step(step.key).task
    roles = task.roles if task else step.required_roles
    voters = {vote.actor.id for vote in task.votes} if task else set[UUID]()
    earlier = _earlier_voters(draft, rules)
    if actor.id in voters:
        return "ALREADY_DECIDED"
    if not is_separated(actor.id, draft.state.initiator.id, rules, earlier):
        return "SELF_APPROVAL"
    if not set(actor.roles) & set(roles):
        return "NOT_ELIGIBLE"
    claimant = task.claimant if task else None
    if rules.threshold > 1 or claimant is None or claimant.id in (actor.id, *voters):
        return None
    # A claim binds only while its holder may decide: else it kept the task from everybody.
    return "NOT_ELIGIBLE" if is_separated(claimant.id, draft.state.initiator.id, rules, earlier) else None


def _earlier_voters(draft: Draft, rules: ApprovalPlan) -> list[UUID]:
    tasks = (draft.step(key).task for key in rules.different_from)
    return [vote.actor.id for task in tasks if task is not None for vote in task.votes]


def apply_vote(draft: Draft, step: PlanStep, vote: Vote) -> None:
    """Count a vote that was found admissible, and close the task when it decides."""
    current = draft.step(step.key)
    if current.task is None or current.status != "waiting":
        return
    task = replace(current.task, votes=(*current.task.votes, vote))
    changed = draft.update_step(current, task=task)
    draft.record(
        "decision_made",
        actor=vote.actor,
        step=step.key,
        data={"task_id": str(task.id), "decision": vote.choice, "comment": vote.comment},
    )
    decision = decision_of(step.decision_rules, task.votes)
    if decision is not None:
        close_task(draft, step, changed, decision)


def close_task(draft: Draft, step: PlanStep, current: StepState, decision: TaskDecision) -> None:
    """Close a task with its decision; the step completes, or fails by its `on_reject`."""
    if current.task is None:
        return
    draft.stop_step_timers(current, "window", "reminder")
    task = replace(current.task, decision=decision, closed_at=draft.at)
    closed = draft.update_step(current, task=task)
    draft.record("task_closed", step=step.key, data={"task_id": str(task.id), "decision": decision})
    if task.is_review:
        _close_review(draft, step, closed, task, decision)
    elif decision == "rejected" and step.decision_rules.on_reject == "fail":
        message = f"step '{step.name}' was rejected"
        fail(draft, step, closed, StepError(kind="business_rule", code="REJECTED", message=message))
    else:
        complete(draft, step, draft.update_step(closed, output=task_output(decision, task.votes)))
        _send_back(draft, step, decision)


def _send_back(draft: Draft, step: PlanStep, decision: TaskDecision) -> None:
    """Send the run back to an earlier step where the decision asks for it, a bounded number of times."""
    back = step.decision_rules.returns
    if back is None or decision not in back.on or draft.is_finished:
        return
    if visits.may_go_back(draft, back):
        visits.go_back(draft, step.key, back)
    else:
        endings.fail_run(draft, visits.limit_error(step, back), step.key)


def _close_review(draft: Draft, step: PlanStep, current: StepState, task: TaskState, decision: TaskDecision) -> None:
    """Close the review of an AI's answer: approving takes it, with the person's form where one was sent."""
    if decision != "approved":
        message = f"a person did not accept the answer of step '{step.name}'"
        fail(draft, step, current, StepError(kind="business_rule", code="REVIEW_REJECTED", message=message))
        return
    corrected: Json = task.votes[-1].data if task.votes else None
    output: Json | PayloadRef = current.output if corrected is None else corrected
    complete(draft, step, draft.update_step(current, output=output))


def on_window_over(draft: Draft, step: PlanStep, current: StepState) -> None:
    """Close the window for decisions by the step's `on_timeout`."""
    rules, task = step.decision_rules, current.task
    if task is None or current.status != "waiting" or current.incident_at is not None:
        return
    match "timed_out" if task.escalated else rules.on_timeout:
        case "escalate":
            _escalate(draft, step, current, task, rules)
        case "approve":
            close_task(draft, step, current, "approved")
        case "reject":
            close_task(draft, step, current, "rejected")
        case "timed_out":
            close_task(draft, step, current, "timed_out")
        case "fail":
            closed = draft.update_step(current, task=replace(task, decision="timed_out", closed_at=draft.at))
            draft.stop_step_timers(current, "reminder")
            message = f"nobody decided step '{step.name}' in time"
            fail(draft, step, closed, StepError(kind="timeout", code="DECISION_TIMEOUT", message=message))


def _escalate(draft: Draft, step: PlanStep, current: StepState, task: TaskState, rules: ApprovalPlan) -> None:
    roles = (*task.roles, *(role for role in rules.escalate_to_roles if role not in task.roles))
    escalated = draft.update_step(current, task=replace(task, roles=roles, escalated=True))
    draft.record("task_escalated", step=step.key, data={"task_id": str(task.id), "roles": list(roles)})
    _start_window(draft, step, escalated, replace(rules, reminder_minutes=()))


def on_reminder(draft: Draft, step: PlanStep, current: StepState, timer: StepTimer) -> None:
    """Remind people of a task that is still open."""
    if current.task is not None and current.status == "waiting" and current.incident_at is None:
        draft.record("task_reminded", step=step.key, data={"task_id": str(current.task.id)})
        draft.command(Notify(kind="task_reminder", key=f"{draft.state.execution_id}:{timer}", step=step.key))


def claim(draft: Draft, step: PlanStep, actor: Actor) -> RefusalCode | None:
    """Take a task; None, or the code of the refusal. A claim is atomic and never overrides another's."""
    current = draft.step(step.key)
    task = current.task
    if task is None or current.status != "waiting":
        return "TASK_CLOSED"
    refusal = refusal_of(draft, step, actor)
    if refusal is not None:
        return refusal
    if actor.id in task.claims:
        return None
    first = task.claimant or actor
    draft.update_step(
        current,
        task=replace(task, claimant=first, claimed_at=task.claimed_at or draft.at, claims=(*task.claims, actor.id)),
    )
    draft.record("task_claimed", actor=actor, step=step.key, data={"task_id": str(task.id)})
    return None


def release(draft: Draft, step: PlanStep, actor: Actor) -> RefusalCode | None:
    """Give a claimed task back; only one's own claim."""
    current = draft.step(step.key)
    task = current.task
    if task is None or current.status != "waiting":
        return "TASK_CLOSED"
    if actor.id not in task.claims:
        return "NOT_ELIGIBLE"
    is_claimant = task.claimant is not None and task.claimant.id == actor.id
    draft.update_step(
        current,
        task=replace(
            task,
            claims=tuple(other for other in task.claims if other != actor.id),
            claimant=None if is_claimant else task.claimant,
            claimed_at=None if is_claimant else task.claimed_at,
        ),
    )
    draft.record("task_released", actor=actor, step=step.key, data={"task_id": str(task.id)})
    return None

"""Control messages: checked, kept while they cannot take effect, carried out, answered.

Every message that was readable ends in exactly one verdict; a refused one is recorded and changes nothing else.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import assert_never

from playbooks.common.actors import asserted_actor
from playbooks.common.errors import RefusalCode
from playbooks.common.values import FINISHED_STEP, Actor, JsonObject, Verdict
from playbooks.engine.model.commands import CheckMessage
from playbooks.engine.model.control_messages import (
    Action,
    CancelRun,
    ChildEnded,
    Claim,
    CompleteStep,
    ConcurrencyFree,
    Decide,
    FailStep,
    Pause,
    PersonAction,
    Release,
    Resume,
    RetryStep,
    RunAction,
    ServiceAction,
    Signal,
    SkipStep,
    StepAction,
)
from playbooks.engine.model.plan import PlanStep
from playbooks.engine.model.state import KeptSignal, PauseState, Request, Vote
from playbooks.engine.model.temporal_messages import OutcomeOfCheck
from playbooks.engine.rules import children, concurrency, endings, interventions, signals, steps, tasks
from playbooks.engine.rules.draft import Draft
from playbooks.engine.rules.verdicts import accept, find_target, forget, ignore, refuse, refuse_checked


def on_received(draft: Draft, request: Request) -> None:
    """Handle a readable message: check its identity first where that takes an activity."""
    message, action = request.message, request.message.action
    if draft.is_finished and isinstance(action, ServiceAction):
        ignore(draft, request)
    elif draft.is_finished or (draft.state.ending is not None and not isinstance(action, ServiceAction)):
        refuse(draft, request, _code_when_finished(draft, action))
    elif not isinstance(action, RunAction) or message.is_identified or signals.contracts_of(draft.plan, action):
        draft.set_internal(requests={**draft.state.requests, request.id: request})
        draft.command(CheckMessage(request=request.id))
    else:
        actor = asserted_actor(draft.state.organization_id, message.actor)
        _control_run(draft, replace(request, actor=actor), action)


def on_checked(draft: Draft, request_id: str, outcome: OutcomeOfCheck) -> None:
    """Carry out a message whose identity was established, or refuse it."""
    request = draft.state.requests.get(request_id)
    if request is None or request.checked:
        return
    action, actor = request.message.action, outcome.actor
    checked = replace(request, checked=True, actor=actor)
    forget(draft, request_id)
    if isinstance(action, ServiceAction):
        _notify(draft, checked, action, outcome)
    elif draft.is_finished:
        refuse(draft, checked, _code_when_finished(draft, action))
    elif actor is None:
        refuse_checked(draft, checked, outcome)
    elif draft.state.ending is not None:
        refuse(draft, checked, _code_when_finished(draft, action))
    elif isinstance(action, PersonAction):
        _act_as_person(draft, checked, action, actor, outcome)
    elif isinstance(action, StepAction):
        _intervene(draft, checked, action, actor, outcome)
    elif outcome.code is not None:
        refuse_checked(draft, checked, outcome)
    else:
        _control_run(draft, checked, action)


def on_unreadable(draft: Draft, verb: str, code: str, reason: str) -> None:
    """Record a signal that could not be read."""
    draft.record("message_refused", data={"verb": verb, "code": code, "reason": reason})


def apply_kept(draft: Draft, step_key: str | None = None) -> None:
    """Carry out the kept decisions, in the order they came: all of them, or one step's."""
    for request_id in draft.state.kept:
        request = draft.state.requests.get(request_id)
        if request is None or request.actor is None or not isinstance(request.message.action, Decide):
            continue
        action, actor = request.message.action, request.actor
        step = find_target(draft.plan, draft.state, action)
        if step is None:
            if step_key is None:
                # Its task belonged to an earlier visit.
                refuse(draft, _take_kept(draft, request), "TASK_CLOSED")
            continue
        status = draft.step(step.key).status
        if step_key not in (None, step.key) or (status != "waiting" and status not in FINISHED_STEP):
            continue
        request = _take_kept(draft, request)
        code = _refusal_of_vote(draft, step, actor)
        if code is None:
            _vote(draft, request, action, step, actor)
        else:
            refuse(draft, request, code)
        if draft.is_finished:
            return


# --- messages of the service


def _notify(draft: Draft, request: Request, action: ServiceAction, outcome: OutcomeOfCheck) -> None:
    """Messages of the service often come late or twice, so one that does not apply leaves no trace."""
    if request.actor is None or outcome.code is not None:
        refuse_checked(draft, request, outcome)
    elif not draft.is_finished and _applies(draft, action):
        accept(draft, request)
    else:
        ignore(draft, request)


def _applies(draft: Draft, action: ServiceAction) -> bool:
    match action:
        case ConcurrencyFree():
            return concurrency.on_notified(draft)
        case ChildEnded(step=key, visit=visit, execution_id=child):
            is_its_child = key in draft.state.steps and draft.step(key).child == child
            return is_its_child and children.on_notified(draft, draft.plan.step(key), visit)
        case _:
            assert_never(action)


# --- messages of people about their tasks


def _act_as_person(draft: Draft, request: Request, action: PersonAction, actor: Actor, outcome: OutcomeOfCheck) -> None:
    step = find_target(draft.plan, draft.state, action)
    if step is None:
        refuse(draft, request, "NOT_FOUND")
        return
    if step.carrier != "task" and draft.step(step.key).task is None:
        refuse(draft, request, "INVALID_STEP_STATE")
        return
    match action:
        case Decide():
            _decide(draft, request, action, step, actor=actor, outcome=outcome)
            return
        case Claim():
            code = tasks.claim(draft, step, actor)
        case Release():
            code = tasks.release(draft, step, actor)
        case _:
            assert_never(action)
    if code is None:
        accept(draft, request, _task_data(draft, step))
    else:
        refuse(draft, request, code)


def _decide(
    draft: Draft, request: Request, action: Decide, step: PlanStep, *, actor: Actor, outcome: OutcomeOfCheck
) -> None:
    code = _refusal_of_vote(draft, step, actor) or _kept_twice(draft, step, actor)
    if code is not None:
        refuse(draft, request, code)
    elif outcome.code is not None:
        refuse_checked(draft, request, outcome)
    elif draft.is_paused or draft.step(step.key).status != "waiting":
        draft.set_internal(
            requests={**draft.state.requests, request.id: replace(request, wants_answer=False)},
            kept=(*draft.state.kept, request.id),
        )
        draft.record("decision_kept", actor=actor, step=step.key, data={"decision": action.decision})
        verdict = Verdict(outcome="kept", detail="kept; it takes effect when the run goes on", at=draft.at)
        draft.answer(request.id, verdict, wanted=request.wants_answer)
    else:
        _vote(draft, request, action, step, actor)


def _refusal_of_vote(draft: Draft, step: PlanStep, actor: Actor) -> RefusalCode | None:
    current = draft.step(step.key)
    if current.status in FINISHED_STEP or current.incident_at is not None:
        return "TASK_CLOSED"
    return tasks.refusal_of(draft, step, actor)


def _kept_twice(draft: Draft, step: PlanStep, actor: Actor) -> RefusalCode | None:
    for request_id in draft.state.kept:
        kept = draft.state.requests[request_id]
        target = find_target(draft.plan, draft.state, kept.message.action)
        if kept.actor is not None and kept.actor.id == actor.id and target == step:
            return "ALREADY_DECIDED"
    return None


def _take_kept(draft: Draft, request: Request) -> Request:
    """Its sender has the verdict already."""
    draft.set_internal(kept=tuple(kept for kept in draft.state.kept if kept != request.id))
    forget(draft, request.id)
    return replace(request, wants_answer=False)


def _vote(draft: Draft, request: Request, action: Decide, step: PlanStep, actor: Actor) -> None:
    vote = Vote(
        actor=actor,
        choice=action.decision,
        at=draft.at,
        comment=action.comment,
        data=action.data,
        attachments=action.attachments,
    )
    tasks.apply_vote(draft, step, vote)
    accept(draft, request, _task_data(draft, step))


# --- messages about a step


def _intervene(draft: Draft, request: Request, action: StepAction, actor: Actor, outcome: OutcomeOfCheck) -> None:
    step = find_target(draft.plan, draft.state, action)
    if step is None:
        refuse(draft, request, "NOT_FOUND")
        return
    current = draft.step(step.key)
    code = interventions.refusal_of(step, current, action, actor)
    if code is not None:
        refuse(draft, request, code)
        return
    if outcome.code is not None:
        refuse_checked(draft, request, outcome)
        return
    draft.record(action.verb, actor=actor, step=step.key, data={"reason": action.reason})
    accept(draft, request)
    match action:
        case RetryStep():
            interventions.retry_step(draft, step, current)
        case SkipStep():
            interventions.skip_step(draft, current, action.output, action.reason)
        case CompleteStep():
            interventions.complete_step(draft, step, current, action.output)
        case FailStep():
            interventions.fail_step(draft, step, current, action.reason)
        case _:
            assert_never(action)


# --- messages about the run


def _control_run(draft: Draft, request: Request, action: RunAction) -> None:
    match action:
        case Pause():
            _pause(draft, request, action)
        case Resume():
            if draft.is_paused:
                accept(draft, request)
                resume_run(draft, request.actor, action.reason)
            else:
                refuse(draft, request, "INVALID_STATUS")
        case CancelRun():
            accept(draft, request)
            endings.cancel_run(draft, request.actor, action.reason)
        case Signal():
            _signal(draft, request, action)
        case _:
            assert_never(action)


def _pause(draft: Draft, request: Request, action: Pause) -> None:
    if draft.is_paused or draft.state.status == "queued":
        refuse(draft, request, "INVALID_STATUS")
        return
    reason, until = action.reason, action.until
    due = None if until is None else _instant(until)
    if until is not None and (due is None or due <= draft.at):
        refuse(draft, request, "VALIDATION_ERROR")
        return
    draft.set_visible(status="paused", pause=PauseState(since=draft.at, cause="request", reason=reason, until=due))
    draft.record("run_paused", actor=request.actor, data={"reason": reason, "until": until})
    if due is not None:
        draft.start_timer("resume", due, "resume")
    accept(draft, request)


def resume_run(draft: Draft, actor: Actor | None, reason: str | None) -> None:
    """Go on: what was kept takes effect, what waited is tried, a budget that was exceeded is waived once."""
    pause = draft.state.pause
    if pause is None:
        return
    draft.stop_timer("resume")
    draft.set_visible(status="in_progress", pause=None)
    draft.set_internal(waived_steps=(*draft.state.waived_steps, *pause.held_steps))
    draft.record("run_resumed", actor=actor, data={"reason": reason})
    apply_kept(draft)
    if not draft.is_finished:
        signals.release(draft)
    if not draft.is_finished:
        steps.resume_held(draft)


def _signal(draft: Draft, request: Request, action: Signal) -> None:
    if draft.state.status == "queued":
        refuse(draft, request, "INVALID_STATUS")
        return
    if signals.is_full(draft, action.payload):
        refuse(draft, request, "RESOURCE_LIMIT_EXCEEDED")
        return
    signal = KeptSignal(name=action.name, payload=action.payload, at=draft.at, actor=request.actor)
    accept(draft, request, signals.receive(draft, signal))


def _code_when_finished(draft: Draft, action: Action) -> RefusalCode:
    if isinstance(action, PersonAction):
        return "TASK_CLOSED"
    ending = draft.state.ending
    if isinstance(action, CancelRun) and "cancelled" in (draft.state.status, ending and ending.status):
        return "ALREADY_CANCELLED"
    return "INVALID_STATUS"


def _task_data(draft: Draft, step: PlanStep) -> JsonObject:
    """What the sender of a person's message learns about the task."""
    task = draft.step(step.key).task
    if task is None:
        return {}
    approvals = sum(vote.choice == "approve" for vote in task.votes)
    return {
        "task_id": str(task.id),
        "state": "open" if task.closed_at is None else "closed",
        "decision": task.decision,
        "approvals_required": step.decision_rules.threshold,
        "approvals_received": approvals,
        "claimed_by": str(task.claimant.id) if task.claimant else None,
    }


def _instant(text: str) -> datetime | None:
    """An ISO 8601 instant with its offset, or None."""
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        return None
    return instant if instant.tzinfo is not None else None

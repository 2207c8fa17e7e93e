"""Control messages: checked, kept while they cannot take effect, carried out, answered.

Every message that was readable ends in exactly one verdict; a refused one is recorded and changes nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import assert_never, cast
from uuid import UUID

from playbooks.common import ids
from playbooks.common.actors import asserted_actor
from playbooks.common.errors import REFUSALS, RefusalCode
from playbooks.common.values import FINISHED_STEP, Actor, JsonObject, Verdict
from playbooks.engine.model.commands import CheckMessage
from playbooks.engine.model.control_messages import PERSON_VERBS, SERVICE_VERBS, STEP_VERBS, Envelope, StepVerb
from playbooks.engine.model.plan import Plan, PlanStep
from playbooks.engine.model.state import Choice, KeptSignal, PauseState, Request, RunState, Vote
from playbooks.engine.model.temporal_messages import OutcomeOfCheck
from playbooks.engine.rules import children, concurrency, endings, interventions, signals, steps, tasks
from playbooks.engine.rules.draft import Draft

_CHECKED_VERBS = PERSON_VERBS | STEP_VERBS | SERVICE_VERBS
"""Verbs whose sender is always established."""


def on_received(draft: Draft, request: Request) -> None:
    """A readable message came in: check its identity first where that takes an activity."""
    envelope = request.envelope
    if draft.is_finished and envelope.verb in SERVICE_VERBS:
        _pass_over(draft, request)
        return
    if draft.is_finished or (draft.state.ending is not None and envelope.verb not in SERVICE_VERBS):
        _refuse(draft, request, _code_when_finished(draft, envelope.verb))
        return
    identified = envelope.signature is not None or envelope.ticket is not None
    if identified or envelope.verb in _CHECKED_VERBS or signals.contracts_of(draft.plan, envelope):
        draft.set_internal(requests={**draft.state.requests, request.id: request})
        draft.command(CheckMessage(request=request.id))
        return
    _dispatch(draft, replace(request, actor=asserted_actor(draft.state.organization_id, envelope.actor)))


def on_checked(draft: Draft, request_id: str, outcome: OutcomeOfCheck) -> None:
    """A message's identity was established, or not."""
    request = draft.state.requests.get(request_id)
    if request is None or request.checked:
        return
    checked = replace(request, checked=True, actor=outcome.actor)
    _forget(draft, request_id)
    if request.envelope.verb in SERVICE_VERBS:
        _hear_service(draft, checked, outcome)
    elif draft.is_finished:
        _refuse(draft, checked, _code_when_finished(draft, request.envelope.verb))
    elif outcome.actor is None:
        _refuse_checked(draft, checked, outcome)
    elif draft.state.ending is not None:
        _refuse(draft, checked, _code_when_finished(draft, request.envelope.verb))
    else:
        _dispatch(draft, checked, outcome)


def _hear_service(draft: Draft, request: Request, outcome: OutcomeOfCheck) -> None:
    """What the service says by itself. It often comes late or twice, so what does not apply leaves no trace."""
    if outcome.actor is None or outcome.code is not None:
        _refuse_checked(draft, request, outcome)
    elif not draft.is_finished and _tell(draft, request.envelope.verb, request.envelope.body):
        _accept(draft, request)
    else:
        _pass_over(draft, request)


def _pass_over(draft: Draft, request: Request) -> None:
    verdict = Verdict(outcome="refused", code="INVALID_STATUS", detail=REFUSALS["INVALID_STATUS"], at=draft.at)
    draft.answer(request.id, verdict, wanted=request.wants_answer)


def _tell(draft: Draft, verb: str, body: JsonObject) -> bool:
    """Whether it concerned anybody."""
    if verb == "concurrency_free":
        return concurrency.on_notified(draft)
    key, visit = body.get("step"), body.get("visit")
    if not isinstance(key, str) or not isinstance(visit, int) or key not in draft.state.steps:
        return False
    is_its_child = str(draft.step(key).child) == body.get("execution_id")
    return is_its_child and children.on_notified(draft, draft.plan.step(key), visit)


def on_unreadable(draft: Draft, verb: str, code: str, reason: str) -> None:
    """A signal that could not be read leaves its trace, and nothing else."""
    draft.record("message_refused", data={"verb": verb, "code": code, "reason": reason})


def apply_kept(draft: Draft, step_key: str | None = None) -> None:
    """Carry out what was kept, in the order it came: all of it, or one step's."""
    for request_id in draft.state.kept:
        request = draft.state.requests.get(request_id)
        step = None if request is None else target_step(draft, request.envelope)
        if request is not None and step is None and step_key is None:
            # Its task belonged to an earlier visit.
            draft.set_internal(kept=tuple(kept for kept in draft.state.kept if kept != request_id))
            _forget(draft, request_id)
            _refuse(draft, replace(request, wants_answer=False), "TASK_CLOSED")
        if request is None or step is None or (step_key is not None and step.key != step_key):
            continue
        if draft.step(step.key).status != "waiting" and draft.step(step.key).status not in FINISHED_STEP:
            continue
        draft.set_internal(kept=tuple(kept for kept in draft.state.kept if kept != request_id))
        _forget(draft, request_id)
        _decide_now(draft, replace(request, wants_answer=False), step)
        if draft.is_finished:
            return


def target_step(draft: Draft, envelope: Envelope) -> PlanStep | None:
    """The step that a person's message names by task id or by key."""
    return find_target(draft.plan, draft.state, envelope)


def find_target(plan: Plan, state: RunState, envelope: Envelope) -> PlanStep | None:
    """As `target_step`, for the shell: it tells the check which form and which task a message is about."""
    task_id, key = envelope.body.get("task_id"), envelope.body.get("step")
    if not isinstance(task_id, str):
        return plan.step(key) if isinstance(key, str) and key in state.steps else None
    wanted = UUID(task_id)
    for name, step in state.steps.items():
        if ids.task_id(state.execution_id, name, step.visit) == wanted:
            return plan.step(name)
    return None


def _dispatch(draft: Draft, request: Request, outcome: OutcomeOfCheck | None = None) -> None:
    verb = request.envelope.verb
    if verb in PERSON_VERBS:
        _act_as_person(draft, request, outcome)
    elif verb in STEP_VERBS:
        _intervene(draft, request, verb, outcome)
    elif outcome is not None and outcome.code is not None:
        _refuse_checked(draft, request, outcome)
    else:
        _CONTROL[verb](draft, request)


def _act_as_person(draft: Draft, request: Request, outcome: OutcomeOfCheck | None) -> None:
    step, actor, verb = target_step(draft, request.envelope), request.actor, request.envelope.verb
    if step is None or actor is None:
        _refuse(draft, request, "NOT_FOUND")
        return
    if step.carrier != "task" and draft.step(step.key).task is None:
        _refuse(draft, request, "INVALID_STEP_STATE")
        return
    if verb == "decide":
        _decide(draft, request, step, actor, outcome)
        return
    act = tasks.claim if verb == "claim" else tasks.release
    code = act(draft, step, actor)
    if code is None:
        _accept(draft, request, _task_data(draft, step))
    else:
        _refuse(draft, request, code)


def _decide(draft: Draft, request: Request, step: PlanStep, actor: Actor, outcome: OutcomeOfCheck | None) -> None:
    current = draft.step(step.key)
    if current.status in FINISHED_STEP or current.incident_at is not None:
        _refuse(draft, request, "TASK_CLOSED")
        return
    code = tasks.refusal_of(draft, step, actor) or _kept_twice(draft, step, actor)
    if code is not None:
        _refuse(draft, request, code)
    elif outcome is not None and outcome.code is not None:
        _refuse_checked(draft, request, outcome)
    elif draft.is_paused or current.status != "waiting":
        draft.set_internal(
            requests={**draft.state.requests, request.id: replace(request, wants_answer=False)},
            kept=(*draft.state.kept, request.id),
        )
        draft.record("decision_kept", actor=actor, step=step.key, data={"decision": request.envelope.body["decision"]})
        verdict = Verdict(outcome="kept", detail="kept; it takes effect when the run goes on", at=draft.at)
        draft.answer(request.id, verdict, wanted=request.wants_answer)
    else:
        _decide_now(draft, request, step)


def _kept_twice(draft: Draft, step: PlanStep, actor: Actor) -> RefusalCode | None:
    for request_id in draft.state.kept:
        kept = draft.state.requests[request_id]
        if kept.actor is not None and kept.actor.id == actor.id and target_step(draft, kept.envelope) == step:
            return "ALREADY_DECIDED"
    return None


def _decide_now(draft: Draft, request: Request, step: PlanStep) -> None:
    actor, body = request.actor, request.envelope.body
    current = draft.step(step.key)
    if current.status in FINISHED_STEP or current.incident_at is not None:
        _refuse(draft, request, "TASK_CLOSED")
        return
    code = None if actor is None else tasks.refusal_of(draft, step, actor)
    if actor is None or code is not None:
        _refuse(draft, request, code or "NOT_ELIGIBLE")
        return
    comment, data, attachments = body.get("comment"), body.get("data"), body.get("attachments")
    vote = Vote(
        actor=actor,
        choice=cast("Choice", body["decision"]),
        at=draft.at,
        comment=comment if isinstance(comment, str) else None,
        data=data if isinstance(data, dict) else None,
        attachments=tuple(str(item) for item in attachments) if isinstance(attachments, list) else (),
    )
    tasks.apply_vote(draft, step, vote)
    _accept(draft, request, _task_data(draft, step))


def _pause(draft: Draft, request: Request) -> None:
    if draft.is_paused or draft.state.status == "queued":
        _refuse(draft, request, "INVALID_STATUS")
        return
    reason, until = _text(request, "reason"), _text(request, "until")
    due = None if until is None else _instant(until)
    if until is not None and (due is None or due <= draft.at):
        _refuse(draft, request, "VALIDATION_ERROR")
        return
    draft.set_visible(status="paused", pause=PauseState(since=draft.at, cause="request", reason=reason, until=due))
    draft.record("run_paused", actor=request.actor, data={"reason": reason, "until": until})
    if due is not None:
        draft.start_timer("resume", due, "resume")
    _accept(draft, request)


def _resume(draft: Draft, request: Request) -> None:
    if not draft.is_paused:
        _refuse(draft, request, "INVALID_STATUS")
        return
    _accept(draft, request)
    resume_run(draft, request.actor, _text(request, "reason"))


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


def _intervene(draft: Draft, request: Request, verb: StepVerb, outcome: OutcomeOfCheck | None) -> None:
    """Somebody says what becomes of a step. Total: what does not apply any more is refused."""
    step, actor = target_step(draft, request.envelope), request.actor
    if step is None:
        _refuse(draft, request, "NOT_FOUND")
        return
    current, output = draft.step(step.key), request.envelope.body.get("output")
    code = interventions.refusal_of(step, current, verb, actor)
    if code is not None:
        _refuse(draft, request, code)
        return
    if outcome is not None and outcome.code is not None:
        _refuse_checked(draft, request, outcome)
        return
    reason = _text(request, "reason")
    draft.record(verb, actor=actor, step=step.key, data={"reason": reason})
    _accept(draft, request)
    match verb:
        case "retry_step":
            interventions.retry_step(draft, step, current)
        case "skip_step":
            interventions.skip_step(draft, current, output, reason)
        case "complete_step":
            interventions.complete_step(draft, step, current, output)
        case "fail_step":
            interventions.fail_step(draft, step, current, reason)
        case _:
            assert_never(verb)


def _signal(draft: Draft, request: Request) -> None:
    body = request.envelope.body
    if draft.state.status == "queued":
        _refuse(draft, request, "INVALID_STATUS")
        return
    if signals.is_full(draft, body.get("payload")):
        _refuse(draft, request, "RESOURCE_LIMIT_EXCEEDED")
        return
    signal = KeptSignal(name=str(body["name"]), payload=body.get("payload"), at=draft.at, actor=request.actor)
    _accept(draft, request, signals.receive(draft, signal))


def _cancel(draft: Draft, request: Request) -> None:
    _accept(draft, request)
    endings.cancel_run(draft, request.actor, _text(request, "reason"))


_CONTROL: dict[str, Callable[[Draft, Request], None]] = {
    "pause": _pause,
    "resume": _resume,
    "cancel_run": _cancel,
    "signal": _signal,
}


def _code_when_finished(draft: Draft, verb: str) -> RefusalCode:
    if verb in PERSON_VERBS:
        return "TASK_CLOSED"
    ending = draft.state.ending
    if verb == "cancel_run" and "cancelled" in (draft.state.status, ending and ending.status):
        return "ALREADY_CANCELLED"
    return "INVALID_STATUS"


def _forget(draft: Draft, request_id: str) -> None:
    draft.set_internal(requests={key: value for key, value in draft.state.requests.items() if key != request_id})


def _accept(draft: Draft, request: Request, data: JsonObject | None = None) -> None:
    verdict = Verdict(outcome="accepted", data=data, at=draft.at)
    draft.answer(request.id, verdict, wanted=request.wants_answer)


def _refuse(draft: Draft, request: Request, code: RefusalCode) -> None:
    _record_refusal(draft, request, code)
    verdict = Verdict(outcome="refused", code=code, detail=REFUSALS[code], at=draft.at)
    draft.answer(request.id, verdict, wanted=request.wants_answer)


def _refuse_checked(draft: Draft, request: Request, outcome: OutcomeOfCheck) -> None:
    """Refuse with what the check found."""
    code = outcome.code or "UNAUTHORIZED"
    _record_refusal(draft, request, code)
    detail = outcome.detail or code
    verdict = Verdict(outcome="refused", code=code, detail=detail, errors=outcome.errors, at=draft.at)
    draft.answer(request.id, verdict, wanted=request.wants_answer)


def _record_refusal(draft: Draft, request: Request, code: str) -> None:
    verb = request.envelope.verb
    step = target_step(draft, request.envelope) if verb in PERSON_VERBS | STEP_VERBS else None
    kind = "decision_refused" if verb == "decide" else "message_refused"
    draft.record(kind, actor=request.actor, step=step.key if step else None, data={"verb": verb, "code": code})


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


def _text(request: Request, name: str) -> str | None:
    value = request.envelope.body.get(name)
    return value if isinstance(value, str) else None


def _instant(text: str) -> datetime | None:
    """An ISO 8601 instant with its offset, or None."""
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        return None
    return instant if instant.tzinfo is not None else None

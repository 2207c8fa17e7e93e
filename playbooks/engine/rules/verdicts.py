"""Verdicts on control messages, and the step that a message is about."""

from __future__ import annotations

from playbooks.common import ids
from playbooks.common.errors import REFUSALS, RefusalCode
from playbooks.common.values import JsonObject, Verdict
from playbooks.engine.model.control_messages import Action, Decide, RunAction, ServiceAction, StepAction
from playbooks.engine.model.plan import Plan, PlanStep
from playbooks.engine.model.state import Request, RunState
from playbooks.engine.model.temporal_messages import OutcomeOfCheck
from playbooks.engine.rules.draft import Draft


def find_target(plan: Plan, state: RunState, action: Action) -> PlanStep | None:
    """Return the step that an action names by its key or by its task's id."""
    if isinstance(action, RunAction | ServiceAction):
        return None
    if isinstance(action, StepAction) or action.task_id is None:
        return plan.step(action.step) if action.step is not None and action.step in state.steps else None
    for key, step in state.steps.items():
        if ids.task_id(state.execution_id, key, step.visit) == action.task_id:
            return plan.step(key)
    return None


def forget(draft: Draft, request_id: str) -> None:
    draft.set_internal(requests={key: value for key, value in draft.state.requests.items() if key != request_id})


def accept(draft: Draft, request: Request, data: JsonObject | None = None) -> None:
    verdict = Verdict(outcome="accepted", data=data, at=draft.at)
    draft.answer(request.id, verdict, wanted=request.wants_answer)


def ignore(draft: Draft, request: Request) -> None:
    """Refuse without a trace."""
    verdict = Verdict(outcome="refused", code="INVALID_STATUS", detail=REFUSALS["INVALID_STATUS"], at=draft.at)
    draft.answer(request.id, verdict, wanted=request.wants_answer)


def refuse(draft: Draft, request: Request, code: RefusalCode) -> None:
    _record_refusal(draft, request, code)
    verdict = Verdict(outcome="refused", code=code, detail=REFUSALS[code], at=draft.at)
    draft.answer(request.id, verdict, wanted=request.wants_answer)


def refuse_checked(draft: Draft, request: Request, outcome: OutcomeOfCheck) -> None:
    """Refuse with what the check found."""
    code = outcome.code or "UNAUTHORIZED"
    _record_refusal(draft, request, code)
    detail = outcome.detail or code
    verdict = Verdict(outcome="refused", code=code, detail=detail, errors=outcome.errors, at=draft.at)
    draft.answer(request.id, verdict, wanted=request.wants_answer)


def _record_refusal(draft: Draft, request: Request, code: str) -> None:
    action = request.message.action
    step = find_target(draft.plan, draft.state, action)
    kind = "decision_refused" if isinstance(action, Decide) else "message_refused"
    data: JsonObject = {"verb": action.verb, "code": code}
    draft.record(kind, actor=request.actor, step=step.key if step else None, data=data)

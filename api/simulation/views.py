"""A simulation as the API shows it: what is sensitive only to those who may see it, and no more than fits an answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from api.http.security import Principal
from api.playbooks.validation import problem_view
from api.runs.durations import milliseconds
from api.runs.schemas import AttemptView, EventView, StepErrorView, money
from api.simulation.operations import Simulation
from api.simulation.schemas import (
    EstimateView,
    SimulatedDecisionView,
    SimulatedMessageView,
    SimulatedStepView,
    SimulationProblemView,
    SimulationView,
    SkippedStepView,
    WaitingView,
)
from playbooks.common.actors import actor_to_json
from playbooks.common.errors import Problem
from playbooks.common.json_pointer import transform_at
from playbooks.common.json_values import canonical
from playbooks.common.values import Json, JsonObject, PayloadRef, StepError
from playbooks.engine.model.state import AuditEvent
from playbooks.engine.rules.redaction import HIDDEN, safe_values
from playbooks.simulation.estimating import Estimate, estimate_of
from playbooks.simulation.interventions import SentMessage
from playbooks.simulation.outcome import Simulated, Visit
from playbooks.simulation.people import Decision

MAX_ANSWER_BYTES = 4 * 1024 * 1024
"""Of inputs and outputs together; what does not fit is told by its size."""


@dataclass(slots=True)
class _Shown:
    """What this caller may see of values, and how much of it still fits."""

    sees_all: bool
    left: int = MAX_ANSWER_BYTES

    def value(self, value: Json | PayloadRef, sensitive: tuple[str, ...]) -> Json:
        if isinstance(value, PayloadRef) or value is None:
            return None
        size = len(canonical(value))
        if size > self.left:
            return {"omitted_bytes": size}
        self.left -= size
        return value if self.sees_all else transform_at(value, sensitive, lambda _: HIDDEN)


def simulation_view(simulation: Simulation, principal: Principal) -> SimulationView:
    """The answer to whoever asked for a simulation."""
    found = simulation.simulated
    plan, state = found.plan, found.state
    shown = _Shown(sees_all=principal.may("runs:view_sensitive"))
    output = shown.value(state.output, plan.sensitive_output)
    return SimulationView(
        status=found.ending,
        playbook_id=plan.playbook_id,
        playbook_name=plan.name,
        playbook_code=plan.code,
        playbook_version=plan.version,
        started_at=found.started_at,
        completed_at=found.ended_at,
        input_data=shown.value(state.input, plan.sensitive_input),
        input_source=simulation.input_source,
        output_data=output,
        error_details=_error(state.error),
        path=[visit.step.key for visit in found.visits.values() if visit.has_begun],
        skipped=[_skipped(found, visit, shown) for visit in found.visits.values() if visit.step.status == "skipped"],
        steps=[_step(found, visit, shown) for visit in found.visits.values()],
        decisions=[_decision(found, item, shown) for item in found.decisions],
        messages=[_message(item) for item in found.messages],
        waiting_for=_waiting(found),
        problems=[_problem(problem) for problem in found.problems],
        cost=money(state.cost),
        currency=plan.currency,
        estimate=_estimate(estimate_of(found)),
        events=[_event(event, shown) for event in found.events],
        events_received=found.events_received,
    )


def _values(found: Simulated, visit: Visit, shown: _Shown) -> JsonObject:
    return visit.values if shown.sees_all else safe_values(found.plan, visit.values)


def _skipped(found: Simulated, visit: Visit, shown: _Shown) -> SkippedStepView:
    return SkippedStepView(step_key=visit.step.key, reason=visit.step.reason, values=_values(found, visit, shown))


def _step(found: Simulated, visit: Visit, shown: _Shown) -> SimulatedStepView:
    step, planned = visit.step, found.plan.step(visit.step.key)
    took = step.completed_at - step.started_at if step.started_at and step.completed_at else None
    return SimulatedStepView(
        step_name=planned.name,
        step_key=step.key,
        step_number=planned.number,
        visit=step.visit,
        status=step.status,
        worker_type=planned.worker_type,
        step_type=planned.step_type,
        source=visit.source,
        started_at=step.started_at,
        completed_at=step.completed_at,
        duration_ms=None if took is None else milliseconds(took),
        input_data=shown.value(step.input, planned.sensitive_input),
        output_data=shown.value(step.output, planned.sensitive_output),
        values=_values(found, visit, shown),
        retry_count=max(0, len(step.attempts) - 1),
        retry_history=[
            AttemptView(
                attempt=attempt.number,
                started_at=attempt.started_at,
                completed_at=attempt.ended_at,
                error=_error(attempt.error),
            )
            for attempt in step.attempts
        ],
        error=_error(step.error),
        reason=step.reason,
        cost=money(step.cost),
        confidence=step.confidence,
        confidence_source=step.confidence_source,
    )


def _decision(found: Simulated, item: Decision, shown: _Shown) -> SimulatedDecisionView:
    verdict = item.verdict
    return SimulatedDecisionView(
        step_key=item.step,
        at=item.at,
        by=item.actor.name,
        roles=[*item.actor.roles],
        decision=item.choice,
        data=shown.value(item.data, found.plan.step(item.step).sensitive_output),
        is_given=item.is_given,
        outcome=None if verdict is None else verdict.outcome,
        code=None if verdict is None else verdict.code,
        detail=None if verdict is None else verdict.detail,
    )


def _message(item: SentMessage) -> SimulatedMessageView:
    step, signal, verdict = item.body.get("step"), item.body.get("name"), item.verdict
    return SimulatedMessageView(
        verb=item.verb,
        step_key=step if isinstance(step, str) else None,
        signal=signal if isinstance(signal, str) else None,
        at=item.at,
        by=item.actor.name,
        outcome=None if verdict is None else verdict.outcome,
        code=None if verdict is None else verdict.code,
        detail=None if verdict is None else verdict.detail,
    )


def _waiting(found: Simulated) -> list[WaitingView]:
    return [
        WaitingView(
            kind=item.kind,
            reason=item.reason,
            step_key=item.step,
            roles=[*item.roles],
            approvals_required=item.approvals_required,
            approvals_received=item.approvals_received,
            due_at=item.due_at,
        )
        for item in found.waiting
    ]


def _problem(problem: Problem) -> SimulationProblemView:
    return SimulationProblemView(severity=problem.severity, **problem_view(problem).model_dump())


def _estimate(estimate: Estimate) -> EstimateView:
    return EstimateView(
        elapsed_minutes=round(estimate.elapsed / timedelta(minutes=1), 3),
        critical_path_minutes=round(estimate.critical_minutes, 3),
        critical_path=[*estimate.critical_path],
        work_minutes=round(estimate.work_minutes, 3),
        steps_without_estimate=[*estimate.without_estimate],
    )


def _event(event: AuditEvent, shown: _Shown) -> EventView:
    """An entry as the machine wrote it: what is sensitive is hidden already, for everybody."""
    actor = None if event.actor is None else actor_to_json(event.actor)
    data = shown.value(event.data, ())
    return EventView(
        number=event.number,
        at=event.at,
        kind=event.kind,
        step_key=event.step,
        actor=actor,
        data=data if isinstance(data, dict) else {},
    )


def _error(error: StepError | None) -> StepErrorView | None:
    if error is None:
        return None
    return StepErrorView(kind=error.kind, code=error.code, message=error.message, pointer=error.pointer)

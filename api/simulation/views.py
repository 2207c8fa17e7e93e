"""View of a simulation. Sensitive values need `runs:view_sensitive`, and large values are left out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from api.execution.schemas import EventView
from api.execution.views import attempt_views, duration_ms, error_view, money
from api.http.schemas import problem_view
from api.http.security import Principal
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
from playbooks.common.values import Json, JsonObject, PayloadRef
from playbooks.engine.model.control_messages import Signal, StepAction
from playbooks.engine.model.state import AuditEvent
from playbooks.engine.rules.redaction import HIDDEN, safe_values
from playbooks.simulation.estimating import Estimate, estimate_of
from playbooks.simulation.interventions import SentMessage
from playbooks.simulation.outcome import Simulated, Visit
from playbooks.simulation.people import Decision

MAX_ANSWER_BYTES = 4 * 1024 * 1024
"""Of all inputs and outputs together; a value that does not fit is replaced by its size."""


@dataclass(slots=True)
class _Values:
    """Values as this caller may see them, until the answer is full."""

    sees_all: bool
    left: int = MAX_ANSWER_BYTES

    def show(self, value: Json | PayloadRef, sensitive: tuple[str, ...]) -> Json:
        if isinstance(value, PayloadRef) or value is None:
            return None
        size = len(canonical(value))
        if size > self.left:
            return {"omitted_bytes": size}
        self.left -= size
        return value if self.sees_all else transform_at(value, sensitive, lambda _: HIDDEN)


def simulation_view(simulation: Simulation, principal: Principal) -> SimulationView:
    """Return the answer for this principal."""
    found = simulation.simulated
    plan, state = found.plan, found.state
    values = _Values(sees_all=principal.may("runs:view_sensitive"))
    output = values.show(state.output, plan.sensitive_output)
    return SimulationView(
        status=found.ending,
        playbook_id=plan.playbook_id,
        playbook_name=plan.name,
        playbook_code=plan.code,
        playbook_version=plan.version,
        started_at=found.started_at,
        completed_at=found.ended_at,
        input_data=values.show(state.input, plan.sensitive_input),
        input_source=simulation.input_source,
        output_data=output,
        error_details=error_view(state.error),
        path=[visit.step.key for visit in found.visits.values() if visit.has_begun],
        skipped=[_skipped(found, visit, values) for visit in found.visits.values() if visit.step.status == "skipped"],
        steps=[_step(found, visit, values) for visit in found.visits.values()],
        decisions=[_decision(found, item, values) for item in found.decisions],
        messages=[_message(item) for item in found.messages],
        waiting_for=_waiting(found),
        problems=[_problem(problem) for problem in found.problems],
        cost=money(state.cost),
        currency=plan.currency,
        estimate=_estimate(estimate_of(found)),
        events=[_event(event, values) for event in found.events],
        events_received=found.events_received,
    )


def _read_values(found: Simulated, visit: Visit, values: _Values) -> JsonObject:
    return visit.values if values.sees_all else safe_values(found.plan, visit.values)


def _skipped(found: Simulated, visit: Visit, values: _Values) -> SkippedStepView:
    return SkippedStepView(step_key=visit.step.key, reason=visit.step.reason, values=_read_values(found, visit, values))


def _step(found: Simulated, visit: Visit, values: _Values) -> SimulatedStepView:
    step, planned = visit.step, found.plan.step(visit.step.key)
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
        duration_ms=duration_ms(step.started_at, step.completed_at),
        input_data=values.show(step.input, planned.sensitive_input),
        output_data=values.show(step.output, planned.sensitive_output),
        values=_read_values(found, visit, values),
        retry_count=max(0, len(step.attempts) - 1),
        retry_history=attempt_views(step.attempts),
        error=error_view(step.error),
        reason=step.reason,
        cost=money(step.cost),
        confidence=step.confidence,
        confidence_source=step.confidence_source,
    )


def _decision(found: Simulated, item: Decision, values: _Values) -> SimulatedDecisionView:
    verdict = item.verdict
    return SimulatedDecisionView(
        step_key=item.step,
        at=item.at,
        by=item.actor.name,
        roles=[*item.actor.roles],
        decision=item.choice,
        data=values.show(item.data, found.plan.step(item.step).sensitive_output),
        is_given=item.is_given,
        outcome=None if verdict is None else verdict.outcome,
        code=None if verdict is None else verdict.code,
        detail=None if verdict is None else verdict.detail,
    )


def _message(item: SentMessage) -> SimulatedMessageView:
    action, verdict = item.action, item.verdict
    return SimulatedMessageView(
        verb=action.verb,
        step_key=action.step if isinstance(action, StepAction) else None,
        signal=action.name if isinstance(action, Signal) else None,
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


def _event(event: AuditEvent, values: _Values) -> EventView:
    """Return an entry of the audit trail, in which the engine has hidden what is sensitive."""
    actor = None if event.actor is None else actor_to_json(event.actor)
    data = values.show(event.data, ())
    return EventView(
        number=event.number,
        at=event.at,
        kind=event.kind,
        step_key=event.step,
        actor=actor,
        data=data if isinstance(data, dict) else {},
    )

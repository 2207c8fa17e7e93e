"""Simulate a run of a playbook version: nothing is stored, called or told.

Owns what has to hold before, and the bounds in time. Invariant: one simulation occupies a thread for at most
`MAX_SECONDS` of the processor, and no more than `Services.calculations` allows at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal
from uuid import UUID, uuid4

from api.http.security import Principal
from api.playbooks.validation import compiled
from api.runs.schemas import ExecuteRequest, ExecutionOptions
from api.services import Services
from api.simulation.given_schemas import DecisionRequest, MessageRequest, SimulationGiven, StepResultRequest
from api.simulation.schemas import SimulateRequest
from playbooks.common.errors import InvalidPlaybookStatusError, Problem, PublicationError, ValidationError
from playbooks.common.values import JsonObject, StepError
from playbooks.contracts.generation import NotGeneratedError, generate
from playbooks.engine.model.temporal_messages import RunInput
from playbooks.evaluation.admission import check_input
from playbooks.evaluation.steps import Version
from playbooks.lifecycle.transitions import PlaybookStatus
from playbooks.simulation.driver import simulate
from playbooks.simulation.given import SIMULATED_ERROR, Given, GivenAttempt, GivenMessage, GivenVote, problems_of
from playbooks.simulation.outcome import Simulated
from storage.playbooks import version_rows as rows

MAX_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """What was simulated, and where its input came from."""

    simulated: Simulated
    input_source: Literal["given", "generated"]


async def simulate_version(
    services: Services, principal: Principal, playbook_id: UUID, request: SimulateRequest
) -> Simulation:
    """A run of this version, a draft's too, played through.

    Raises NotFoundError, PublicationError (a draft that does not compile), InputContractError, ValidationError,
    LimitExceededError.
    """
    _check_mode(request.execution_options)
    return await _simulated(services, principal, playbook_id, request)


async def simulate_execution(
    services: Services, principal: Principal, playbook_id: UUID, request: ExecuteRequest
) -> Simulation:
    """What `execute` would start, played through instead. Raises also InvalidPlaybookStatusError, as a start does."""
    body = SimulateRequest(
        input_data=request.input_data,
        execution_context=request.execution_context,
        execution_options=request.execution_options,
        simulation=request.simulation or SimulationGiven(),
    )
    return await _simulated(services, principal, playbook_id, body, needs="active")


async def _simulated(
    services: Services,
    principal: Principal,
    playbook_id: UUID,
    request: SimulateRequest,
    needs: PlaybookStatus | None = None,
) -> Simulation:
    version = await _version(services, principal, playbook_id, needs)
    given = given_of(request)
    problems = problems_of(given, version.plan)
    if problems:
        raise ValidationError(problems[0].message, problems)
    if request.input_data is not None:
        check_input(version.document, request.input_data)
    at = request.simulation.started_at or datetime.now(UTC)

    def play() -> Simulated:
        start = _run_input(principal, version, request)
        is_over = _after(MAX_SECONDS)
        return simulate(version, start, given, at=at, handlers=services.handlers, is_over=is_over)

    simulated = await services.calculate(play)
    source: Literal["given", "generated"] = "generated" if request.input_data is None else "given"
    return Simulation(simulated=simulated, input_source=source)


def _after(seconds: float) -> Callable[[], bool]:
    """Whether this thread has worked for so long since now."""
    begun = time.thread_time()
    return lambda: time.thread_time() - begun > seconds


async def _version(
    services: Services, principal: Principal, playbook_id: UUID, needs: PlaybookStatus | None
) -> Version:
    async with services.database.reading(principal.organization_id) as session:
        row = await rows.get_version(session, playbook_id)
        if needs is not None and row.status != needs:
            raise InvalidPlaybookStatusError(f"the playbook is {row.status}; only an active one can be run")
        if row.status in ("active", "deprecated"):
            kept = await services.versions.get(session, playbook_id)
            return Version(kept.document, kept.plan)
        document = await rows.get_document(session, playbook_id)
    result = await compiled(services, document, playbook_id, row.version)
    if result.plan is None:
        raise PublicationError("the playbook has errors, so nothing can be simulated", result.errors)
    return Version(document, result.plan)


def _input_of(version: Version, request: SimulateRequest) -> JsonObject:
    """The run's input: as it was given (and checked), or generated from the contract."""
    contract = version.document.input_contract
    if request.input_data is not None:
        return request.input_data
    if contract is None:
        return {}
    try:
        made = generate(contract, "/input_contract")
    except NotGeneratedError as error:
        first = error.problems[0]
        message = f"give input_data: {first.message} ({first.pointer})"
        raise ValidationError(message, (Problem(pointer="/input_data", code=first.code, message=message),)) from None
    if not isinstance(made, dict):
        message = "give input_data: the contract allows what is no object"
        raise ValidationError(message, (Problem(pointer="/input_data", code="REQUIRED", message=message),))
    return made


def _run_input(principal: Principal, version: Version, request: SimulateRequest) -> RunInput:
    options = request.execution_options
    return RunInput(
        organization_id=principal.organization_id,
        execution_id=uuid4(),
        plan=version.plan,
        initiator=principal.actor,
        input=_input_of(version, request),
        priority=request.execution_context.priority,
        variables=options.context_variables,
        max_retries=options.max_retries,
        timeout_minutes=options.timeout_minutes,
        # As in debug mode: each step's evaluation is among the events.
        debug=True,
    )


def given_of(request: SimulateRequest) -> Given:
    """What the request gives beside the run's input."""
    given = request.simulation
    return Given(
        attempts={key: tuple(map(_attempt, items)) for key, items in given.step_results.items()},
        votes={key: tuple(map(_vote, items)) for key, items in given.decisions.items()},
        messages=tuple(map(_message, given.messages)),
        approves_alone=request.execution_options.auto_approve_human_steps,
    )


def _attempt(item: StepResultRequest) -> GivenAttempt:
    error = item.error
    return GivenAttempt(
        output=item.output,
        error=None
        if error is None
        else StepError(
            kind=error.kind, code=SIMULATED_ERROR, message=error.message, retry_after_ms=error.retry_after_ms
        ),
        cost=item.cost,
        confidence=item.confidence,
        duration=None if item.duration_ms is None else timedelta(milliseconds=item.duration_ms),
    )


def _vote(item: DecisionRequest) -> GivenVote:
    return GivenVote(
        choice=item.decision,
        by=item.by,
        roles=None if item.roles is None else tuple(item.roles),
        comment=item.comment,
        data=item.data,
        after=None if item.after_minutes is None else timedelta(minutes=item.after_minutes),
    )


def _message(item: MessageRequest) -> GivenMessage:
    return GivenMessage(
        verb=item.verb,
        after=timedelta(minutes=item.after_minutes),
        body=item.body,
        by=item.by,
        roles=tuple(item.roles),
    )


def _check_mode(options: ExecutionOptions) -> None:
    if "execution_mode" in options.model_fields_set and options.execution_mode != "simulation":
        message = "this call only simulates: leave it out, or say simulation"
        problem = Problem(pointer="/execution_options/execution_mode", code="NOT_ALLOWED", message=message)
        raise ValidationError(message, (problem,))

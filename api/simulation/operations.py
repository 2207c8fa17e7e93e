"""Simulate a run of a playbook version: nothing is stored, sent or called.

Invariant: one simulation uses at most `MAX_SECONDS` of processor time in a thread, and at most as many run at once as
`Services.calculations` allows.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal
from uuid import UUID, uuid4

from api.context import RequestContext
from api.http.security import Principal
from playbooks.common.errors import InvalidPlaybookStatusError, Problem, PublicationError, ValidationError
from playbooks.common.values import JsonObject, Priority
from playbooks.contracts.generation import NotGeneratedError, generate
from playbooks.document.model import read_document
from playbooks.engine.model.temporal_messages import RunInput
from playbooks.evaluation.admission import check_input
from playbooks.evaluation.steps import Version
from playbooks.simulation.driver import simulate
from playbooks.simulation.given import Given, problems_of
from playbooks.simulation.outcome import Simulated
from storage.playbooks import version_rows

MAX_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationParameters:
    """The run to simulate. Without `input` one is generated; without `started_at` the virtual clock begins now."""

    input: JsonObject | None
    given: Given
    started_at: datetime | None
    priority: Priority
    variables: JsonObject
    max_retries: int | None
    timeout_minutes: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """The result of a simulation, and the source of its input."""

    simulated: Simulated
    input_source: Literal["given", "generated"]


async def simulate_version(
    context: RequestContext, playbook_id: UUID, parameters: SimulationParameters, *, only_active: bool = False
) -> Simulation:
    """Simulate a run of this version; also of a draft, unless `only_active`.

    Raises NotFoundError, InvalidPlaybookStatusError, PublicationError (a draft that does not compile),
    InputContractError, ValidationError, LimitExceededError.
    """
    version = await _version(context, playbook_id, only_active=only_active)
    problems = problems_of(parameters.given, version.plan)
    if problems:
        raise ValidationError(problems[0].message, problems)
    if parameters.input is not None:
        check_input(version.document, parameters.input)
    at = parameters.started_at or datetime.now(UTC)

    def play() -> Simulated:
        start = _run_input(context.principal, version, parameters)
        is_over = _timeout(MAX_SECONDS)
        return simulate(version, start, parameters.given, at=at, handlers=context.services.handlers, is_over=is_over)

    simulated = await context.services.calculate(play)
    return Simulation(simulated=simulated, input_source="generated" if parameters.input is None else "given")


def _timeout(seconds: float) -> Callable[[], bool]:
    """Return a function that is true once this thread has used this much more processor time."""
    started = time.thread_time()
    return lambda: time.thread_time() - started > seconds


async def _version(context: RequestContext, playbook_id: UUID, *, only_active: bool) -> Version:
    services = context.services
    async with context.reading() as session:
        row = await version_rows.get_version(session, playbook_id)
        if only_active and row.status != "active":
            raise InvalidPlaybookStatusError(f"the playbook is {row.status}; only an active one can be run")
        if row.status in ("active", "deprecated"):
            published = await services.versions.get(session, playbook_id)
            return Version(published.document, published.plan)
    document = read_document(row.document)
    compiled = await services.compile(document, playbook_id, row.version)
    if compiled.plan is None:
        raise PublicationError("the playbook has errors, so nothing can be simulated", compiled.errors)
    return Version(document, compiled.plan)


def _input_of(version: Version, parameters: SimulationParameters) -> JsonObject:
    """Return the run's input: as sent (and checked), or generated from the contract."""
    contract = version.document.input_contract
    if parameters.input is not None:
        return parameters.input
    if contract is None:
        return {}
    try:
        generated = generate(contract, "/input_contract")
    except NotGeneratedError as error:
        first = error.problems[0]
        message = f"give input_data: {first.message} ({first.pointer})"
        raise ValidationError(message, (Problem(pointer="/input_data", code=first.code, message=message),)) from None
    if not isinstance(generated, dict):
        message = "give input_data: the contract allows what is no object"
        raise ValidationError(message, (Problem(pointer="/input_data", code="REQUIRED", message=message),))
    return generated


def _run_input(principal: Principal, version: Version, parameters: SimulationParameters) -> RunInput:
    return RunInput(
        organization_id=principal.organization_id,
        execution_id=uuid4(),
        plan=version.plan,
        initiator=principal.actor,
        input=_input_of(version, parameters),
        priority=parameters.priority,
        variables=parameters.variables,
        max_retries=parameters.max_retries,
        timeout_minutes=parameters.timeout_minutes,
        # As in debug mode: each step's evaluation is among the events.
        debug=True,
    )

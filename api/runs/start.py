"""Start a run: validate, insert and commit, then start the workflow.

Invariant: a run whose row is committed is accepted and will start, also where this process dies; before the commit
nothing was promised.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from uuid import UUID, uuid4

from api.context import RequestContext
from api.http.security import Principal
from api.runs.schemas import ExecuteRequest
from api.temporal_client import RunWorkflows
from playbooks.common.errors import (
    InvalidPlaybookStatusError,
    NotFoundError,
    Problem,
    ServiceUnavailableError,
    ValidationError,
)
from playbooks.common.ids import derived_execution_id
from playbooks.common.json_values import canonical
from playbooks.engine.model.plan import Plan
from playbooks.engine.model.temporal_messages import RunInput
from playbooks.evaluation.admission import check_input, slot_of
from storage.database.sessions import WriteSession
from storage.playbooks import version_rows
from storage.runs import admission, run_rows
from storage.runs.admission import InsertedRun, NewRun
from storage.runs.run_rows import RunRow


@dataclass(frozen=True, slots=True, kw_only=True)
class StartedRun:
    """`is_started` is false where Temporal is away: the run is stored and starts later."""

    row: RunRow
    is_started: bool
    is_repeat: bool


async def execute_playbook(
    context: RequestContext, playbook_id: UUID, request: ExecuteRequest, key: str | None
) -> StartedRun:
    """Accept and start a run, or return the one that was accepted under the same idempotency key.

    Raises NotFoundError, InvalidPlaybookStatusError, InputContractError, IdempotencyKeyReusedError,
    DuplicateExecutionError, ValidationError, LimitExceededError, ServiceUnavailableError (nothing was stored).
    """
    _refuse_simulation(request)
    services, organization_id = context.services, context.principal.organization_id
    route = f"POST /playbooks/{playbook_id}/execute"
    execution_id = uuid4() if key is None else derived_execution_id(organization_id, route, key)
    async with context.writing() as session:
        # Shared lock until the commit: the version cannot be archived between this check of its status and the insert.
        version = await version_rows.share_version(session, playbook_id)
        is_repeated = key is not None and await _exists(session, execution_id)
        # A repeat returns its run even if the playbook has been deprecated since.
        if not is_repeated and version.status != "active":
            raise InvalidPlaybookStatusError(f"the playbook is {version.status}; only an active one can be run")
        document, plan = await services.versions.get(session, playbook_id)
        run_input = _run_input(context.principal, execution_id, plan, request)
        if not is_repeated:
            check_input(document, request.input_data)
            run_input = replace(run_input, slot=slot_of(document, request.input_data))
        inserted = await admission.insert_run(session, _new_run(run_input, request, playbook_id), services.sealer)
        if not inserted.was_created:
            # The workflow starts with the stored input.
            run_input = await run_rows.get_run_input(session, execution_id, services.sealer)
    is_started = await _start_workflow(services.workflows, run_input, inserted)
    return StartedRun(row=inserted.row, is_started=is_started, is_repeat=not inserted.was_created)


async def _exists(session: WriteSession, execution_id: UUID) -> bool:
    try:
        await run_rows.get_run(session, execution_id)
    except NotFoundError:
        return False
    return True


async def _start_workflow(workflows: RunWorkflows, run_input: RunInput, inserted: InsertedRun) -> bool:
    if not inserted.was_created and inserted.row.status != "queued":
        return True
    try:
        # Also for a repeat whose first request died between its commit and this line.
        await workflows.start(run_input)
    except ServiceUnavailableError:
        return False
    return True


def _run_input(principal: Principal, execution_id: UUID, plan: Plan, request: ExecuteRequest) -> RunInput:
    context, options = request.execution_context, request.execution_options
    notification = options.notification_settings
    return RunInput(
        organization_id=principal.organization_id,
        execution_id=execution_id,
        plan=plan,
        initiator=principal.actor,
        input=request.input_data,
        priority=context.priority,
        tags=tuple(dict.fromkeys(context.tags)),
        variables=options.context_variables,
        max_retries=options.max_retries,
        timeout_minutes=options.timeout_minutes,
        debug=options.execution_mode == "debug",
        notification=None if notification is None else notification.model_dump(mode="json", exclude_unset=True),
    )


def _new_run(run_input: RunInput, request: ExecuteRequest, playbook_id: UUID) -> NewRun:
    context = request.execution_context
    # The playbook is part of the hash although it is part of the key: equal hashes have to mean equal requests.
    # `simulation` is not part of it: a real run has none.
    body = {"playbook_id": str(playbook_id), **request.model_dump(mode="json", exclude={"simulation"})}
    return NewRun(
        input=run_input,
        request_hash=hashlib.sha256(canonical(body).encode()).hexdigest(),
        correlation_id=context.correlation_id,
        subject_entity_id=context.subject_entity_id,
    )


def _refuse_simulation(request: ExecuteRequest) -> None:
    """Refuse fields of a simulation in a real run, which would ignore them."""
    problems: list[Problem] = []
    if request.execution_options.auto_approve_human_steps:
        problems.append(_misplaced("/execution_options/auto_approve_human_steps"))
    if request.simulation is not None:
        problems.append(_misplaced("/simulation"))
    if problems:
        raise ValidationError(problems[0].message, problems)


def _misplaced(pointer: str) -> Problem:
    return Problem(pointer=pointer, code="NOT_ALLOWED", message="only where execution_mode is simulation")

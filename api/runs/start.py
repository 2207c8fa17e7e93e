"""Start a run: validate, insert and commit, then start the workflow.

Invariant: a run whose row is committed is accepted and will start, also where this process dies; before the commit
nothing was promised.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID, uuid4

from api.context import RequestContext
from api.http.security import Principal
from api.runs.schemas import ExecuteRequest
from api.temporal_client import RunWorkflows
from playbooks.common.errors import (
    InvalidPlaybookStatusError,
    Problem,
    ServiceUnavailableError,
    ValidationError,
)
from playbooks.common.ids import derived_execution_id
from playbooks.engine.model.plan import Plan
from playbooks.engine.model.temporal_messages import RunInput
from storage.playbooks import version_rows
from storage.runs.admission import AcceptedRun, AcceptRun, accept_run
from storage.runs.run_rows import RunRow, find_run


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
        known = None if key is None else await find_run(session, execution_id)
        # A repeat returns its run even if the playbook has been deprecated since.
        if known is None and version.status != "active":
            raise InvalidPlaybookStatusError(f"the playbook is {version.status}; only an active one can be run")
        document, plan = await services.versions.get(session, playbook_id)
        run = AcceptRun(
            input=_run_input(context.principal, execution_id, plan, request),
            document=document,
            # The playbook is part of it although it is part of the key: equal hashes have to mean equal requests.
            # `simulation` is not part of it: a real run has none.
            request={"playbook_id": str(playbook_id), **request.model_dump(mode="json", exclude={"simulation"})},
            is_repeat=known is not None,
            correlation_id=request.execution_context.correlation_id,
            subject_entity_id=request.execution_context.subject_entity_id,
        )
        accepted = await accept_run(session, run, services.sealer)
    is_started = await _start_workflow(services.workflows, accepted)
    return StartedRun(row=accepted.row, is_started=is_started, is_repeat=not accepted.was_created)


async def _start_workflow(workflows: RunWorkflows, accepted: AcceptedRun) -> bool:
    if not accepted.was_created and accepted.row.status != "queued":
        return True
    try:
        # Also for a repeat whose first request died between its commit and this line.
        await workflows.start(accepted.input)
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

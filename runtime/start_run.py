"""Starts a run's workflow: the second half of "insert, commit, start".

Invariant: however often and from whatever process it is called for a run, the run has at most one workflow, ever.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionRequest
from temporalio.client import Client
from temporalio.common import (
    Priority,
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDReusePolicy,
)
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from playbooks.common.errors import ServiceUnavailableError
from playbooks.common.ids import workflow_id
from playbooks.engine.model.temporal_messages import RunInput
from runtime.settings import Settings
from runtime.temporal_client import is_away

WORKFLOW_TYPE = "PlaybookRun"
TASK_TIMEOUT = timedelta(seconds=5)
START_TIMEOUT = timedelta(seconds=3)

_PRIORITY_KEYS = {"critical": 1, "high": 2, "normal": 3, "low": 4}
_MAX_SUMMARY = 100


async def start_run(client: Client, settings: Settings, run_input: RunInput) -> None:
    """Start the workflow of a run whose row is committed. A workflow that exists already is success.

    Raises ServiceUnavailableError when Temporal does not take it now; the row stays `queued` and the sweeper tries
    again. Takes at most a few seconds.
    """
    try:
        # The client retries inside its own deadline; this bounds all of it, the first connection included.
        async with asyncio.timeout(START_TIMEOUT.total_seconds() + 0.5):
            await _start_with_or_without_attributes(client, settings, run_input)
    except WorkflowAlreadyStartedError:
        return
    except (RPCError, RuntimeError, TimeoutError) as error:
        # Also a refusal for another reason than an outage: the run is accepted, so its start is repeated.
        detail = "Temporal is away" if is_away(error) else "Temporal does not take the run"
        raise ServiceUnavailableError(detail) from error


async def has_workflow(client: Client, organization_id: UUID, execution_id: UUID) -> bool:
    """Return whether Temporal has a workflow of this run, open or closed. Raises ServiceUnavailableError."""
    request = DescribeWorkflowExecutionRequest(
        namespace=client.namespace,
        execution=WorkflowExecution(workflow_id=workflow_id(organization_id, execution_id)),
    )
    try:
        await client.workflow_service.describe_workflow_execution(request, timeout=START_TIMEOUT)
    except (RPCError, RuntimeError) as error:
        if isinstance(error, RPCError) and error.status is RPCStatusCode.NOT_FOUND:
            return False
        raise ServiceUnavailableError("Temporal is away") from error
    return True


async def _start_with_or_without_attributes(client: Client, settings: Settings, run_input: RunInput) -> None:
    try:
        await _start(client, settings, replace(run_input, has_search_attributes=True))
    except RPCError as error:
        # The namespace does not know our search attributes, and nobody had the right to register them.
        if error.status is not RPCStatusCode.INVALID_ARGUMENT:
            raise
        await _start(client, settings, replace(run_input, has_search_attributes=False))


async def _start(client: Client, settings: Settings, run_input: RunInput) -> None:
    plan = run_input.plan
    await client.start_workflow(
        WORKFLOW_TYPE,
        run_input,
        id=workflow_id(run_input.organization_id, run_input.execution_id),
        task_queue=settings.task_queue,
        id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
        task_timeout=TASK_TIMEOUT,
        rpc_timeout=START_TIMEOUT,
        static_summary=f"{plan.name[:_MAX_SUMMARY]}, version {plan.version}",
        search_attributes=_attributes(run_input) if run_input.has_search_attributes else None,
        priority=Priority(priority_key=_PRIORITY_KEYS[run_input.priority], fairness_key=str(run_input.organization_id)),
    )


def _attributes(run_input: RunInput) -> TypedSearchAttributes:
    values = {
        "PlaybookCode": run_input.plan.code,
        "OrganizationId": str(run_input.organization_id),
        "RunStatus": "in_progress",
        "RunPriority": run_input.priority,
        "InitiatedBy": str(run_input.initiator.id),
    }
    return TypedSearchAttributes(
        [SearchAttributePair(SearchAttributeKey.for_keyword(name), value) for name, value in values.items()]
    )

"""Signals that the service itself sends to runs, signed so that nobody else can send them.

A signal only asks a run to read rows, or is a verb that any client may send; so it may be lost, and may come twice.
"""

from __future__ import annotations

from uuid import UUID, uuid4

from temporalio.api.common.v1 import Payloads, WorkflowExecution
from temporalio.api.workflowservice.v1 import SignalWorkflowExecutionRequest
from temporalio.client import Client
from temporalio.converter import WorkflowSerializationContext
from temporalio.service import RPCError, RPCStatusCode

from playbooks.common.actors import actor_to_json, system_actor
from playbooks.common.ids import workflow_id
from playbooks.common.values import Actor
from playbooks.engine.model.control_messages import Action, ControlMessage, to_argument
from runtime.signed_messages import sign
from runtime.temporal_client import RPC_TIMEOUT


async def signal_run(
    client: Client,
    signing_key: bytes,
    *,
    organization_id: UUID,
    execution_id: UUID,
    action: Action,
    actor: Actor | None = None,
    request_id: UUID | None = None,
) -> bool:
    """Send a signal in the name of `actor`, by default the service; false where the run has no open workflow.

    Temporal ignores a second signal with the same `request_id`. Raises RPCError when Temporal is away.
    """
    bound_to = workflow_id(organization_id, execution_id)
    message = ControlMessage(action=action, actor=actor_to_json(actor or system_actor(organization_id)))
    context = WorkflowSerializationContext(namespace=client.namespace, workflow_id=bound_to)
    argument = to_argument(sign(message, signing_key, bound_to))
    request = SignalWorkflowExecutionRequest(
        namespace=client.namespace,
        workflow_execution=WorkflowExecution(workflow_id=bound_to),
        signal_name=action.verb,
        input=Payloads(payloads=await client.data_converter.with_context(context).encode([argument])),
        identity=client.identity,
        # A workflow handle's `signal` makes a new request id each time.
        request_id=str(request_id or uuid4()),
    )
    try:
        await client.workflow_service.signal_workflow_execution(request, retry=True, timeout=RPC_TIMEOUT)
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return False
        raise
    return True

"""What the service itself tells a run: a signal that carries its signature, so that nobody else can say it.

Owns the way there. Must not know rows, nor what a verb means. Invariant: what is told is never the truth itself, only
that it is worth looking at the rows, or a verb that any client may give; so it may be lost, and come twice.
"""

from __future__ import annotations

from uuid import UUID

from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from playbooks.common.actors import actor_to_json, system_actor
from playbooks.common.ids import workflow_id
from playbooks.common.values import JsonObject
from playbooks.engine.model.control_messages import Envelope, to_argument
from runtime.signed_messages import sign
from runtime.temporal_client import RPC_TIMEOUT


async def tell(
    client: Client,
    signing_key: bytes,
    *,
    organization_id: UUID,
    execution_id: UUID,
    verb: str,
    body: JsonObject | None = None,
) -> bool:
    """Signal a run; false where no open workflow carries it. Raises RPCError when Temporal is away."""
    bound_to = workflow_id(organization_id, execution_id)
    envelope = Envelope(verb=verb, body=body or {}, actor=actor_to_json(system_actor(organization_id)))
    argument = to_argument(sign(envelope, signing_key, bound_to))
    try:
        await client.get_workflow_handle(bound_to).signal(verb, argument, rpc_timeout=RPC_TIMEOUT)
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return False
        raise
    return True

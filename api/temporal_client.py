"""The API's way to running workflows: start one, or give one a verb and wait for its verdict.

Owns the translation of everything that Temporal can answer into our errors. Must not know rows or routes. Invariant:
a verb carries the identity of the verified token, signed for this one run, and nothing that a client named itself.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from temporalio.client import (
    Client,
    WorkflowHandle,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from api.http.problems import error_of_code
from playbooks.common.actors import actor_to_json
from playbooks.common.errors import (
    PlaybooksError,
    RateLimitedError,
    ServiceUnavailableError,
    ValidationError,
    WorkerUnavailableError,
)
from playbooks.common.ids import workflow_id
from playbooks.common.values import Actor, JsonObject, Verdict
from playbooks.engine.model.control_messages import Envelope, to_argument
from playbooks.engine.model.temporal_messages import RunInput
from runtime.settings import Settings
from runtime.signed_messages import sign
from runtime.start_run import start_run
from runtime.temporal_client import is_away

VERDICT_TIMEOUT = timedelta(seconds=10)
_HEALTH_TIMEOUT = timedelta(seconds=2)

# How Temporal says that the workflow ended between taking the update and answering it.
_ENDED_TYPES = frozenset({"AcceptedUpdateCompletedWorkflow"})


class Runs:
    """Workflows of runs, over one lazily connected client."""

    def __init__(self, client: Client, settings: Settings) -> None:
        self.client = client
        self._settings = settings

    async def start(self, run_input: RunInput) -> None:
        """Start a run whose row is committed. Raises ServiceUnavailableError; the row then waits for the sweeper."""
        await start_run(self.client, self._settings, run_input)

    async def update(
        self,
        organization_id: UUID,
        execution_id: UUID,
        verb: str,
        body: JsonObject,
        actor: Actor,
        *,
        update_id: str | None = None,
    ) -> Verdict | None:
        """The run's verdict on a verb, or None where no open workflow carries the run.

        A repeat with the same `update_id` gets the first verdict. Raises ServiceUnavailableError while Temporal is
        away, WorkerUnavailableError when no worker answers in time, RateLimitedError for too many at once.
        """
        bound_to = workflow_id(organization_id, execution_id)
        envelope = Envelope(verb=verb, body=body, actor=actor_to_json(actor))
        signed = sign(envelope, self._settings.signing_key, bound_to)
        try:
            async with asyncio.timeout(VERDICT_TIMEOUT.total_seconds() + 1):
                handle: WorkflowHandle[Any, Any] = self.client.get_workflow_handle(bound_to)
                # An overload's `args` is untyped upstream.
                return await handle.execute_update(  # pyright: ignore[reportUnknownMemberType]
                    verb,
                    to_argument(signed),
                    id=update_id or str(uuid4()),
                    result_type=Verdict,
                    rpc_timeout=VERDICT_TIMEOUT,
                )
        except WorkflowUpdateFailedError as error:
            if _has_ended(error.cause):
                return None
            raise _rejection(error.cause) from error
        except (RPCError, WorkflowUpdateRPCTimeoutOrCancelledError, TimeoutError, RuntimeError) as error:
            if isinstance(error, RPCError) and error.status is RPCStatusCode.NOT_FOUND:
                return None
            raise await self._failure(error) from error

    async def ask_cancel(self, organization_id: UUID, execution_id: UUID) -> None:
        """Ask Temporal to cancel whatever workflow there is; nobody being there is fine. Never raises.

        For a run whose row was cancelled before its workflow spoke: the workflow, if it exists, learns it at once
        instead of at its first flush.
        """
        try:
            async with asyncio.timeout(_HEALTH_TIMEOUT.total_seconds()):
                handle = self.client.get_workflow_handle(workflow_id(organization_id, execution_id))
                await handle.cancel(rpc_timeout=_HEALTH_TIMEOUT)
        except (RPCError, RuntimeError, TimeoutError):
            return

    async def is_reachable(self) -> bool:
        """Whether Temporal answers."""
        try:
            async with asyncio.timeout(_HEALTH_TIMEOUT.total_seconds()):
                return await self.client.service_client.check_health(timeout=_HEALTH_TIMEOUT)
        except (RPCError, RuntimeError, TimeoutError):
            return False

    async def _failure(self, error: Exception) -> PlaybooksError:
        if isinstance(error, RPCError) and error.status is RPCStatusCode.RESOURCE_EXHAUSTED:
            return RateLimitedError("too many requests for this run at once")
        if isinstance(error, RPCError) and not is_away(error):
            return ServiceUnavailableError("Temporal does not take the request now")
        # A worker that does not answer and a Temporal that does not answer look the same from here.
        if await self.is_reachable():
            return WorkerUnavailableError(
                "no worker took the request in time; it may still take effect: look, then ask"
            )
        return ServiceUnavailableError(
            "Temporal does not answer, so it is not known whether the message arrived; repeat it, it counts once"
        )


def _has_ended(cause: BaseException) -> bool:
    return isinstance(cause, ApplicationError) and cause.type in _ENDED_TYPES


def _rejection(cause: BaseException) -> PlaybooksError:
    """The workflow's validator refused the message itself."""
    if isinstance(cause, ApplicationError):
        return error_of_code(cause.type, cause.message)
    return ValidationError("the run refused the message")

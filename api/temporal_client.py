"""Client of the workflows of runs: start one, or send it an update and wait for the verdict.

Translates Temporal's errors into ours. Invariant: an update carries the identity of the verified token, signed for this
one run; no identity comes from a request body.
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
from playbooks.common.values import Actor, Verdict
from playbooks.engine.model.control_messages import Action, ControlMessage, to_argument
from playbooks.engine.model.temporal_messages import RunInput
from runtime.settings import Settings
from runtime.signed_messages import sign
from runtime.start_run import start_run
from runtime.temporal_client import is_away

VERDICT_TIMEOUT = timedelta(seconds=10)
_HEALTH_TIMEOUT = timedelta(seconds=2)

# Temporal's error where the workflow ended between accepting the update and answering it.
_ENDED_TYPES = frozenset({"AcceptedUpdateCompletedWorkflow"})


class RunWorkflows:
    """Workflows of runs, over one lazily connected client."""

    def __init__(self, client: Client, settings: Settings) -> None:
        self.client = client
        self._settings = settings

    async def start(self, run_input: RunInput) -> None:
        """Start the workflow of a run whose row is committed.

        Raises ServiceUnavailableError; the sweeper then starts it later.
        """
        await start_run(self.client, self._settings, run_input)

    async def update(
        self,
        organization_id: UUID,
        execution_id: UUID,
        action: Action,
        actor: Actor,
        *,
        update_id: str | None = None,
    ) -> Verdict | None:
        """Send a verb to a run. Return the verdict (accepted or kept), or None where the run has no open workflow.

        A repeat with the same `update_id` gets the first verdict. Raises the error that the run refused the verb with,
        ServiceUnavailableError while Temporal is away, WorkerUnavailableError when no worker answers in time,
        RateLimitedError for too many requests at once.
        """
        bound_to = workflow_id(organization_id, execution_id)
        message = ControlMessage(action=action, actor=actor_to_json(actor))
        signed = sign(message, self._settings.signing_key, bound_to)
        try:
            async with asyncio.timeout(VERDICT_TIMEOUT.total_seconds() + 1):
                handle: WorkflowHandle[Any, Any] = self.client.get_workflow_handle(bound_to)
                # An overload's `args` is untyped upstream.
                verdict = await handle.execute_update(  # pyright: ignore[reportUnknownMemberType]
                    action.verb,
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
        if verdict.outcome == "refused":
            raise error_of_code(verdict.code, verdict.detail or "the run refused it", verdict.errors)
        return verdict

    async def request_cancel(self, organization_id: UUID, execution_id: UUID) -> None:
        """Request the cancellation of the workflow, if there is one. Never raises.

        For a run whose row was cancelled before its workflow's first flush: the workflow need not wait for that flush
        to learn it.
        """
        try:
            async with asyncio.timeout(_HEALTH_TIMEOUT.total_seconds()):
                handle = self.client.get_workflow_handle(workflow_id(organization_id, execution_id))
                await handle.cancel(rpc_timeout=_HEALTH_TIMEOUT)
        except (RPCError, RuntimeError, TimeoutError):
            return

    async def is_reachable(self) -> bool:
        """Return whether Temporal answers."""
        try:
            async with asyncio.timeout(_HEALTH_TIMEOUT.total_seconds()):
                return await self.client.service_client.check_health(timeout=_HEALTH_TIMEOUT)
        except (RPCError, RuntimeError, TimeoutError):
            return False

    async def _failure(self, error: Exception) -> PlaybooksError:
        if isinstance(error, RPCError) and error.status is RPCStatusCode.RESOURCE_EXHAUSTED:
            return RateLimitedError("too many requests for this run at once")
        if isinstance(error, RPCError) and not is_away(error):
            return ServiceUnavailableError("Temporal does not accept the request now")
        # A worker that does not answer and a Temporal that does not answer look the same from here.
        if await self.is_reachable():
            return WorkerUnavailableError(
                "no worker answered in time; the request may still take effect: read the run before you repeat it"
            )
        return ServiceUnavailableError(
            "Temporal does not answer, so it is not known whether the message arrived; repeat it, it counts once"
        )


def _has_ended(cause: BaseException) -> bool:
    return isinstance(cause, ApplicationError) and cause.type in _ENDED_TYPES


def _rejection(cause: BaseException) -> PlaybooksError:
    """Return the error of a message that the workflow's validator refused."""
    if isinstance(cause, ApplicationError):
        return error_of_code(cause.type, cause.message)
    return ValidationError("the run refused the message")

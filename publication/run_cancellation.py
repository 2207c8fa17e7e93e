"""Cancelling all live runs of a version that was archived, until the last of them is over.

Owns how each is told: one that never started is cancelled in its row, the others by a signal that Temporal keeps, also
while no worker is there. Must not decide what cancelling means; that is the machine's. Invariant: the transition stays
`in_progress` until no run of the version is live, so whatever is away, somebody comes back to it; a run is told once,
because the signal's request id is made of transition and run.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias
from uuid import UUID, uuid5

import structlog
from temporalio.api.common.v1 import Payloads, WorkflowExecution
from temporalio.api.workflowservice.v1 import SignalWorkflowExecutionRequest
from temporalio.client import Client
from temporalio.converter import WorkflowSerializationContext
from temporalio.service import RPCError, RPCStatusCode

from playbooks.common.actors import actor_to_json
from playbooks.common.errors import UnavailableError
from playbooks.common.ids import workflow_id
from playbooks.common.values import Actor
from playbooks.engine.model.control_messages import Envelope, to_argument
from publication.transitions import Order, order_of
from runtime.settings import Settings
from runtime.signed_messages import sign
from runtime.start_run import START_TIMEOUT
from storage.database.sessions import Database
from storage.playbooks import transitions
from storage.playbooks.transitions import TransitionRow
from storage.runs import admission
from storage.runs.admission import LiveRun

AT_ONCE = 10
RUNS_A_ROUND = 500
REST_SECONDS = 30.0
"""A run that was told is left alone for so long; one that compensates takes its time to end."""

_MAX_FOUND = 5_000
_VERB = "cancel_run"
_Outcome: TypeAlias = Literal["cancelled", "asked", "pending"]

_log = structlog.get_logger("publication.run_cancellation")


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelTools:
    """What a process cancels runs with. `told` are runs that are left alone until then."""

    database: Database
    client: Client
    settings: Settings
    told: dict[UUID, float] = field(default_factory=dict[UUID, float])


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelCounts:
    """Of one look: cancelled in their rows, told through Temporal, and not reached yet."""

    cancelled: int = 0
    asked: int = 0
    pending: int = 0


async def cancel_runs(
    tools: CancelTools, organization_id: UUID, identity: UUID, *, limit: int = RUNS_A_ROUND
) -> CancelCounts:
    """Tell the runs that a transition cancels, and complete it when none is live.

    Raises UnavailableError when the database is away; Temporal being away shows in `pending`. Safe to repeat and to run
    in many processes.
    """
    async with tools.database.reading(organization_id) as session:
        found = await transitions.find_transition(session, identity)
        if found is None or found.status != "in_progress":
            return CancelCounts()
        live = await admission.list_live_runs(session, found.playbook_id, limit=_MAX_FOUND)
    now = time.monotonic()
    for execution_id in [key for key, until in tools.told.items() if until < now]:
        del tools.told[execution_id]
    todo = [run for run in live if run.execution_id not in tools.told]
    told = _Teller(tools, organization_id, identity, order_of(found))
    outcomes = await told.tell(todo[:limit])
    cancelled = outcomes.count("cancelled")
    if cancelled == len(live):
        await _complete(tools.database, organization_id, found)
    return CancelCounts(
        cancelled=cancelled, asked=outcomes.count("asked"), pending=outcomes.count("pending") + len(todo[limit:])
    )


async def _complete(database: Database, organization_id: UUID, found: TransitionRow) -> None:
    async with database.writing(organization_id) as session:
        # More than one look takes in may be live.
        if not await admission.count_live_runs(session, found.playbook_id):
            await transitions.settle(session, found, status="completed")


@dataclass(slots=True)
class _Teller:
    tools: CancelTools
    organization_id: UUID
    identity: UUID
    order: Order
    is_away: bool = False

    async def tell(self, todo: Sequence[LiveRun]) -> list[_Outcome]:
        """A few at a time, each in its own transaction: thousands of runs are no reason to hold anything for long."""
        waiting, outcomes = list(reversed(todo)), list[_Outcome]()

        async def work() -> None:
            while waiting:
                try:
                    outcomes.append(await self._spared(waiting.pop()))
                except UnavailableError:
                    waiting.clear()
                    raise

        ends = await asyncio.gather(*(work() for _ in range(min(AT_ONCE, len(waiting)))), return_exceptions=True)
        for end in ends:
            if end is not None:
                raise end
        return outcomes

    async def _spared(self, run: LiveRun) -> _Outcome:
        try:
            return await self._tell(run)
        except UnavailableError:
            raise
        except Exception:
            # One run that cannot be told must not keep the others from it.
            _log.exception("run_cannot_be_cancelled", execution_id=str(run.execution_id))
            return "pending"

    async def _tell(self, run: LiveRun) -> _Outcome:
        if run.is_queued and await self._cancel_queued(run.execution_id):
            # Its workflow, if there is one all the same, learns it now instead of at its first flush.
            await self._ask_cancel(run.execution_id)
            return "cancelled"
        if not await self._signal(run.execution_id):
            return "pending"
        self.tools.told[run.execution_id] = time.monotonic() + REST_SECONDS
        return "asked"

    async def _cancel_queued(self, execution_id: UUID) -> bool:
        async with self.tools.database.writing(self.organization_id) as session:
            if not await admission.lock_queued(session, execution_id):
                return False
            return await admission.cancel_queued(session, execution_id, self.order.actor, self.order.reason)

    async def _ask_cancel(self, execution_id: UUID) -> None:
        handle = self.tools.client.get_workflow_handle(workflow_id(self.organization_id, execution_id))
        await self._reached(handle.cancel(rpc_timeout=START_TIMEOUT))

    async def _signal(self, execution_id: UUID) -> bool:
        return await self._reached(
            _signal_cancel(self.tools, self.organization_id, execution_id, self.identity, self.order)
        )

    async def _reached(self, call: Coroutine[object, object, None]) -> bool:
        """Whether Temporal took it. Once it does not answer, the others of this look are not tried."""
        if self.is_away:
            call.close()
            return False
        try:
            async with asyncio.timeout(START_TIMEOUT.total_seconds() + 0.5):
                await call
        except (RPCError, RuntimeError, TimeoutError) as error:
            # No open workflow: it is about to be started, or its row is about to be set right.
            self.is_away = not (isinstance(error, RPCError) and error.status is RPCStatusCode.NOT_FOUND)
            return False
        return True


async def _signal_cancel(
    tools: CancelTools, organization_id: UUID, execution_id: UUID, identity: UUID, order: Order
) -> None:
    client, bound_to = tools.client, workflow_id(organization_id, execution_id)
    argument = to_argument(_envelope(tools.settings, bound_to, order.actor, order.reason))
    context = WorkflowSerializationContext(namespace=client.namespace, workflow_id=bound_to)
    payloads = await client.data_converter.with_context(context).encode([argument])
    request = SignalWorkflowExecutionRequest(
        namespace=client.namespace,
        workflow_execution=WorkflowExecution(workflow_id=bound_to),
        signal_name=_VERB,
        input=Payloads(payloads=payloads),
        identity=client.identity,
        # The handle's own `signal` makes up a request id each time; this one lets Temporal see the repeat.
        request_id=str(uuid5(identity, str(execution_id))),
    )
    await client.workflow_service.signal_workflow_execution(request, timeout=START_TIMEOUT)


def _envelope(settings: Settings, bound_to: str, actor: Actor, reason: str | None) -> Envelope:
    body = {} if reason is None else {"reason": reason}
    return sign(Envelope(verb=_VERB, body=dict(body), actor=actor_to_json(actor)), settings.signing_key, bound_to)

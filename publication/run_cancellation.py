"""Cancels all live runs of a version that was archived, until none is live.

A run that has not started is cancelled in its row, the others by a signal, which Temporal keeps while no worker runs.
Invariant: the transition stays `in_progress` until no run of the version is live, so the scheduler goes on with it
after any outage. A run that is asked again ignores it: the signal's request id is made of transition and run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias
from uuid import UUID, uuid5

from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from playbooks.common.errors import UnavailableError
from playbooks.common.ids import workflow_id
from playbooks.engine.model.control_messages import CancelRun
from runtime.background import Cooldown, isolate_failure
from runtime.run_signals import signal_run
from runtime.settings import Settings
from runtime.start_run import START_TIMEOUT
from storage.database.sessions import Database
from storage.playbooks import transitions
from storage.playbooks.transitions import TransitionRequest, TransitionRow, request_of
from storage.runs import unfinished_runs
from storage.runs.unfinished_runs import LiveRun

AT_ONCE = 10
RUNS_A_ROUND = 500
REST_SECONDS = 30.0
"""Pause before a run is asked again; one that compensates takes its time to end."""

_MAX_FOUND = 5_000
_Outcome: TypeAlias = Literal["cancelled", "asked", "pending"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelContext:
    """Connections with which a process cancels runs, and the runs that it asked lately."""

    database: Database
    client: Client
    settings: Settings
    cooldown: Cooldown[UUID] = field(default_factory=Cooldown[UUID])


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelCounts:
    """Runs that one round cancelled in their rows, asked by a signal, and did not reach."""

    cancelled: int = 0
    asked: int = 0
    pending: int = 0


async def cancel_runs(
    context: CancelContext, organization_id: UUID, identity: UUID, *, limit: int = RUNS_A_ROUND
) -> CancelCounts:
    """Cancel the live runs of a transition, at most `limit` of them; complete the transition when none is live.

    Raises UnavailableError when the database is away; an outage of Temporal shows in `pending`. Safe to repeat and to
    run in many processes.
    """
    async with context.database.reading(organization_id) as session:
        found = await transitions.find_transition(session, identity)
        if found is None or found.status != "in_progress":
            return CancelCounts()
        live = await unfinished_runs.list_live_runs(session, found.playbook_id, limit=_MAX_FOUND)
    context.cooldown.forget_expired()
    todo = [run for run in live if run.execution_id not in context.cooldown]
    outcomes = await _Round(context, organization_id, identity, request_of(found)).cancel(todo[:limit])
    cancelled = outcomes.count("cancelled")
    if cancelled == len(live):
        await _complete(context.database, organization_id, found)
    return CancelCounts(
        cancelled=cancelled, asked=outcomes.count("asked"), pending=outcomes.count("pending") + len(todo[limit:])
    )


async def _complete(database: Database, organization_id: UUID, found: TransitionRow) -> None:
    async with database.writing(organization_id) as session:
        # There may be more live runs than `_MAX_FOUND`.
        if not await unfinished_runs.count_live_runs(session, found.playbook_id):
            await transitions.settle(session, found, status="completed")


@dataclass(slots=True)
class _Round:
    context: CancelContext
    organization_id: UUID
    identity: UUID
    order: TransitionRequest
    is_away: bool = False

    async def cancel(self, todo: Sequence[LiveRun]) -> list[_Outcome]:
        """Cancel a few at a time, each in its own transaction, so that thousands of runs hold no lock for long."""
        waiting, outcomes = list(reversed(todo)), list[_Outcome]()

        async def work() -> None:
            while waiting:
                run = waiting.pop()
                try:
                    outcomes.append(await self._isolated(run))
                except UnavailableError:
                    waiting.clear()
                    raise

        ends = await asyncio.gather(*(work() for _ in range(min(AT_ONCE, len(waiting)))), return_exceptions=True)
        for end in ends:
            if end is not None:
                raise end
        return outcomes

    async def _isolated(self, run: LiveRun) -> _Outcome:
        pending: _Outcome = "pending"
        execution_id = str(run.execution_id)
        return await isolate_failure(self._cancel(run), pending, "run_not_cancelled", execution_id=execution_id)

    async def _cancel(self, run: LiveRun) -> _Outcome:
        if run.is_queued and await self._cancel_queued(run.execution_id):
            # If it has a workflow all the same, that one need not wait for its first flush to find out.
            handle = self.context.client.get_workflow_handle(workflow_id(self.organization_id, run.execution_id))
            await self._reach(lambda: handle.cancel(rpc_timeout=START_TIMEOUT))
            return "cancelled"
        if not await self._reach(lambda: self._signal(run.execution_id)):
            return "pending"
        self.context.cooldown.start(run.execution_id, REST_SECONDS)
        return "asked"

    async def _cancel_queued(self, execution_id: UUID) -> bool:
        async with self.context.database.writing(self.organization_id) as session:
            if not await unfinished_runs.lock_queued(session, execution_id):
                return False
            return await unfinished_runs.cancel_queued(session, execution_id, self.order.actor, self.order.reason)

    async def _signal(self, execution_id: UUID) -> bool:
        return await signal_run(
            self.context.client,
            self.context.settings.signing_key,
            organization_id=self.organization_id,
            execution_id=execution_id,
            action=CancelRun(reason=self.order.reason),
            actor=self.order.actor,
            request_id=uuid5(self.identity, str(execution_id)),
        )

    async def _reach(self, call: Callable[[], Awaitable[bool | None]]) -> bool:
        """Return whether Temporal took a call. After an outage the calls of this round are not made any more."""
        if self.is_away:
            return False
        try:
            async with asyncio.timeout(START_TIMEOUT.total_seconds() + 0.5):
                # False: no open workflow. It is about to be started, or its row is about to be repaired.
                return await call() is not False
        except (RPCError, RuntimeError, TimeoutError) as error:
            self.is_away = not (isinstance(error, RPCError) and error.status is RPCStatusCode.NOT_FOUND)
            return False

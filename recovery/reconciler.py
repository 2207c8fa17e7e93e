"""The reconciler: what rows say of unfinished runs is compared with Temporal, and set right where it is wrong.

Owns which runs are looked at, and what each difference means. Must not decide anything about a run that its workflow
can still decide. Invariants: visibility only proposes, Describe decides; what is written is what the history committed,
or the end of a run that can never speak again; one process at a time does it.

| Temporal says | what is done |
|---|---|
| running | nothing; where its tasks keep failing the row says so (`stuck`) |
| completed, failed, cancelled | everything that the history committed is written |
| terminated, timed out | the last state, asked of the closed workflow, is written as cancelled |
| nothing, of a run that never spoke | nothing: the sweeper starts it |
| nothing, of a run that spoke | `failed` with `RUN_LOST`, after several looks, and an alert |

What unfinished runs wait for in other runs is told them again (`recovery.missed_signals`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

import structlog
from temporalio.client import Client, WorkflowExecutionDescription, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from playbooks.common.errors import UnavailableError
from playbooks.common.ids import parse_workflow_id, workflow_id
from recovery.closing_runs import Tools, write_closed, write_lost
from recovery.missed_signals import Told, tell_waiting
from runtime.temporal_client import RPC_TIMEOUT
from storage.runs import repairs
from storage.runs.repairs import UnfinishedRun

EVERY_SECONDS = 5.0
OLDER_THAN = timedelta(seconds=5)
RUNS_A_ROUND = 500
"""How many runs one round asks visibility about; with more unfinished runs than that, rounds take turns."""

MISSING_SECONDS = 12.0
"""How long Temporal must not know a run before it counts as lost: a fail-over may forget for a moment."""

MANY_MISSING_SECONDS = 600.0
"""The same when most runs are missing: that looks like a wrong address, and an operator gets time to mend it."""

_MANY = 10
_IDS_A_QUERY = 50
_PROBLEMS = "TemporalReportedProblems"
_REPORTED_PROBLEMS = f"{_PROBLEMS} IS NOT NULL AND ExecutionStatus = 'Running'"
_FIRST = UUID(int=0)

_log = structlog.get_logger("recovery.reconciler")


@dataclass(slots=True, kw_only=True)
class Reconciler:
    """What one process remembers between rounds: where the last one ended, since when runs are missing, and which of
    them are marked as stuck."""

    tools: Tools
    older_than: timedelta = OLDER_THAN
    missing_seconds: float = MISSING_SECONDS
    after: UUID = _FIRST
    missing_since: dict[UUID, float] = field(default_factory=dict[UUID, float])
    stuck: set[UUID] = field(default_factory=set[UUID])
    told: Told = field(default_factory=Told)


async def run_reconciler(tools: Tools) -> None:
    """Compare every few seconds until cancelled. Outages of the database or of Temporal are waited out."""
    reconciler = Reconciler(tools=tools)
    while True:
        await asyncio.sleep(EVERY_SECONDS)
        try:
            await reconcile_once(reconciler)
        except (UnavailableError, RPCError) as error:
            _log.warning("reconciler_waits", reason=type(error).__name__)
        except Exception:
            # One that dies leaves wrong rows wrong, silently; whatever this is, the next round may be spared.
            _log.exception("reconcile_failed")


async def reconcile_once(reconciler: Reconciler) -> int:
    """One round; the number of runs that were ended. 0 also where another process leads.

    Raises UnavailableError or RPCError when the database or Temporal is away.
    """
    tools = reconciler.tools
    async with tools.database.recovering() as session:
        # The lock lasts as long as this transaction, that is for the whole round.
        if not await repairs.try_to_lead(session):
            return 0
        found = await repairs.find_unfinished(
            session, after=reconciler.after, older_than=reconciler.older_than, limit=RUNS_A_ROUND
        )
        reconciler.after = found[-1].execution_id if len(found) == RUNS_A_ROUND else _FIRST
        ended = 0
        missing: list[UnfinishedRun] = []
        for run in await _not_seen_running(tools.client, found):
            description = await _describe(tools.client, run)
            if description is None:
                missing.append(run)
            elif description.status is not WorkflowExecutionStatus.RUNNING:
                ended += await _spared(run, write_closed(tools, run, description))
        ended += await _settle_missing(reconciler, missing, found)
        await _note_stuck(reconciler, found)
        await tell_waiting(tools, found, reconciler.told)
        return ended


async def _not_seen_running(client: Client, found: Sequence[UnfinishedRun]) -> list[UnfinishedRun]:
    """Those that visibility does not list as running. It lags behind, so this says nothing yet."""
    running: set[str] = set()
    for first in range(0, len(found), _IDS_A_QUERY):
        wanted = ", ".join(f"'{_id_of(run)}'" for run in found[first : first + _IDS_A_QUERY])
        query = f"ExecutionStatus = 'Running' AND WorkflowId IN ({wanted})"
        running |= {item.id async for item in client.list_workflows(query, rpc_timeout=RPC_TIMEOUT)}
    return [run for run in found if _id_of(run) not in running]


async def _describe(client: Client, run: UnfinishedRun) -> WorkflowExecutionDescription | None:
    try:
        return await client.get_workflow_handle(_id_of(run)).describe(rpc_timeout=RPC_TIMEOUT)
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return None
        raise


async def _settle_missing(
    reconciler: Reconciler, missing: Sequence[UnfinishedRun], found: Sequence[UnfinishedRun]
) -> int:
    """Runs that Temporal does not know, and has not known for long enough, are lost. The number of these."""
    spoken = [run for run in missing if run.has_spoken]
    since = reconciler.missing_since
    for execution_id in {run.execution_id for run in found} - {run.execution_id for run in spoken}:
        since.pop(execution_id, None)
    is_many = len(spoken) >= _MANY and len(spoken) * 2 > len(found)
    if is_many:
        _log.error("temporal_does_not_know_most_runs", missing=len(spoken), of=len(found))
    patience = max(MANY_MISSING_SECONDS if is_many else 0.0, reconciler.missing_seconds)
    lost, now = 0, time.monotonic()
    for run in spoken:
        if now - since.setdefault(run.execution_id, now) >= patience:
            lost += await _spared(run, write_lost(reconciler.tools, run))
            since.pop(run.execution_id)
    return lost


async def _note_stuck(reconciler: Reconciler, found: Sequence[UnfinishedRun]) -> None:
    """Mark runs whose workflow tasks keep failing, and unmark those that go on."""
    tools = reconciler.tools
    reported: dict[str, str] = {}
    async for item in tools.client.list_workflows(_REPORTED_PROBLEMS, rpc_timeout=RPC_TIMEOUT):
        if parse_workflow_id(item.id) is not None:
            reported[item.id] = ", ".join(str(problem) for problem in item.search_attributes.get(_PROBLEMS, []))
    for run in found:
        problem = reported.get(_id_of(run))
        if (problem is not None) != (run.execution_id in reconciler.stuck):
            await _spared(run, _set_stuck(tools, run, problem))
            reconciler.stuck ^= {run.execution_id}


async def _set_stuck(tools: Tools, run: UnfinishedRun, problem: str | None) -> bool:
    async with tools.database.writing(run.organization_id) as session:
        if problem is None:
            await repairs.clear_stuck(session, run.execution_id)
            return False
        is_marked = await repairs.mark_stuck(session, run.execution_id, datetime.now(UTC), problem)
    if is_marked:
        _log.error("run_stuck", execution_id=str(run.execution_id), problem=problem)
    return is_marked


async def _spared(run: UnfinishedRun, work: Awaitable[bool]) -> bool:
    """One run that cannot be set right must not keep the others waiting; an outage concerns them all."""
    try:
        return await work
    except (UnavailableError, RPCError):
        raise
    except Exception:
        _log.exception("run_cannot_be_set_right", execution_id=str(run.execution_id))
        return False


def _id_of(run: UnfinishedRun) -> str:
    return workflow_id(run.organization_id, run.execution_id)

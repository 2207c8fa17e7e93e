"""The reconciler: compares the rows of unfinished runs with Temporal, and repairs rows that are wrong.

Decides nothing that the run's workflow can still decide. Invariants: visibility only proposes, Describe decides; what
is written is what the history committed, or the end of a run that can never flush again; one process at a time works.

| the workflow is | what is done |
|---|---|
| running | nothing; where its tasks keep failing, the row is marked (`stuck`) |
| completed, failed, cancelled | everything that the history committed is written |
| terminated, timed out | the last state, queried from the closed workflow, is written as cancelled |
| unknown, and has never flushed | nothing: the sweeper starts it |
| unknown, and has flushed | `failed` with `RUN_LOST`, after several rounds, and an error in the log |

Signals that unfinished runs missed are sent again (`recovery.missed_signals`).
"""

from __future__ import annotations

import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

import structlog
from temporalio.client import Client, WorkflowExecutionDescription, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from playbooks.common.ids import parse_workflow_id, workflow_id
from recovery.closing_runs import fail_lost_run, finish_closed_run
from recovery.context import RecoveryContext
from recovery.missed_signals import SignalCooldown, resend_missed_signals
from runtime.background import isolate_failure, run_every
from runtime.temporal_client import RPC_TIMEOUT
from storage.runs import repairs, unfinished_runs
from storage.runs.unfinished_runs import UnfinishedRun

EVERY_SECONDS = 5.0
OLDER_THAN = timedelta(seconds=5)
RUNS_A_ROUND = 500
"""Runs that one round looks at; further ones are left to the next rounds."""

MISSING_SECONDS = 12.0
"""Time that Temporal must not have a run before it counts as lost: a fail-over may hide it for a moment."""

MANY_MISSING_SECONDS = 600.0
"""The same when most runs are missing: that looks like a wrong address, which an operator gets time to correct."""

_MANY = 10
_IDS_A_QUERY = 50
_PROBLEMS = "TemporalReportedProblems"
_REPORTED_PROBLEMS = f"{_PROBLEMS} IS NOT NULL AND ExecutionStatus = 'Running'"
_FIRST = UUID(int=0)

_log = structlog.get_logger("recovery.reconciler")


@dataclass(slots=True, kw_only=True)
class Reconciler:
    """State of one process between rounds: where the last one ended, since when runs are missing, which are `stuck`."""

    context: RecoveryContext
    older_than: timedelta = OLDER_THAN
    missing_seconds: float = MISSING_SECONDS
    after: UUID = _FIRST
    missing_since: dict[UUID, float] = field(default_factory=dict[UUID, float])
    stuck: set[UUID] = field(default_factory=set[UUID])
    cooldown: SignalCooldown = field(default_factory=SignalCooldown)


async def run_reconciler(context: RecoveryContext) -> None:
    """Compare every few seconds until cancelled."""
    reconciler = Reconciler(context=context)
    await run_every(EVERY_SECONDS, lambda: reconcile_once(reconciler), "reconciler")


async def reconcile_once(reconciler: Reconciler) -> int:
    """Do one round, and return the number of runs that it ended: 0 also where another process is the leader.

    Raises UnavailableError or RPCError when the database or Temporal is away.
    """
    context = reconciler.context
    async with context.database.recovering() as session:
        # The lock lasts as long as this transaction, that is for the whole round.
        if not await repairs.try_to_lead(session):
            return 0
        found = await unfinished_runs.find_unfinished(
            session, after=reconciler.after, older_than=reconciler.older_than, limit=RUNS_A_ROUND
        )
        reconciler.after = found[-1].execution_id if len(found) == RUNS_A_ROUND else _FIRST
        ended = 0
        missing: list[UnfinishedRun] = []
        for run in await _not_seen_running(context.client, found):
            description = await _describe(context.client, run)
            if description is None:
                missing.append(run)
            elif description.status is not WorkflowExecutionStatus.RUNNING:
                ended += await _isolated(run, finish_closed_run(context, run, description))
        ended += await _fail_missing(reconciler, missing, found)
        await _mark_stuck(reconciler, found)
        await resend_missed_signals(context, found, reconciler.cooldown)
        return ended


async def _not_seen_running(client: Client, found: Sequence[UnfinishedRun]) -> list[UnfinishedRun]:
    """Return the runs that visibility does not list as running; it lags behind, so this is not yet a finding."""
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


async def _fail_missing(
    reconciler: Reconciler, missing: Sequence[UnfinishedRun], found: Sequence[UnfinishedRun]
) -> int:
    """Fail the runs that Temporal has not known for long enough, and return their number."""
    flushed = [run for run in missing if run.has_flushed]
    since = reconciler.missing_since
    for execution_id in {run.execution_id for run in found} - {run.execution_id for run in flushed}:
        since.pop(execution_id, None)
    is_many = len(flushed) >= _MANY and len(flushed) * 2 > len(found)
    if is_many:
        _log.error("most_runs_missing_in_temporal", missing=len(flushed), of=len(found))
    patience = max(MANY_MISSING_SECONDS if is_many else 0.0, reconciler.missing_seconds)
    lost, now = 0, time.monotonic()
    for run in flushed:
        if now - since.setdefault(run.execution_id, now) >= patience:
            lost += await _isolated(run, fail_lost_run(reconciler.context, run))
            since.pop(run.execution_id)
    return lost


async def _mark_stuck(reconciler: Reconciler, found: Sequence[UnfinishedRun]) -> None:
    """Mark runs whose workflow tasks keep failing, and unmark those that proceed."""
    context = reconciler.context
    reported: dict[str, str] = {}
    async for item in context.client.list_workflows(_REPORTED_PROBLEMS, rpc_timeout=RPC_TIMEOUT):
        if parse_workflow_id(item.id) is not None:
            reported[item.id] = ", ".join(str(problem) for problem in item.search_attributes.get(_PROBLEMS, []))
    for run in found:
        problem = reported.get(_id_of(run))
        if (problem is not None) != (run.execution_id in reconciler.stuck):
            await _isolated(run, _set_stuck(context, run, problem))
            reconciler.stuck ^= {run.execution_id}


async def _set_stuck(context: RecoveryContext, run: UnfinishedRun, problem: str | None) -> bool:
    async with context.database.writing(run.organization_id) as session:
        if problem is None:
            await repairs.clear_stuck(session, run.execution_id)
            return False
        is_marked = await repairs.mark_stuck(session, run.execution_id, datetime.now(UTC), problem)
    if is_marked:
        _log.error("run_stuck", execution_id=str(run.execution_id), problem=problem)
    return is_marked


async def _isolated(run: UnfinishedRun, work: Coroutine[object, object, bool]) -> bool:
    return await isolate_failure(work, False, "run_not_repaired", execution_id=str(run.execution_id))


def _id_of(run: UnfinishedRun) -> str:
    return workflow_id(run.organization_id, run.execution_id)

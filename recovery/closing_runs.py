"""Writes the end of a run whose workflow can no longer write it.

Invariant: everything that the history committed is written first; only then is an end added that no history contains.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import structlog
from temporalio.client import (
    Client,
    WorkflowExecutionDescription,
    WorkflowExecutionStatus,
    WorkflowQueryFailedError,
)
from temporalio.service import RPCError, RPCStatusCode

from playbooks.common.ids import workflow_id
from playbooks.common.values import FINISHED_RUN, StepError
from playbooks.engine.machine import advance
from playbooks.engine.model.events import CancelRequested
from playbooks.engine.model.plan import Plan
from playbooks.engine.model.state import RunState
from playbooks.engine.model.temporal_messages import FlushCall, NotificationCall
from playbooks.engine.projection import flush_of, fold
from recovery.context import RecoveryContext
from runtime.histories import read_flushes
from storage.runs import notifications, projection, repairs, run_rows
from storage.runs.audit_trail import EventGapError
from storage.runs.repairs import Closing
from storage.runs.unfinished_runs import UnfinishedRun

_QUERY_TIMEOUT = timedelta(seconds=5)

_log = structlog.get_logger("recovery.closing_runs")


async def finish_closed_run(context: RecoveryContext, run: UnfinishedRun, closed: WorkflowExecutionDescription) -> bool:
    """Write the end of a run whose workflow is closed while its row is unfinished. True where this finished the row.

    Raises UnavailableError, RPCError when the database or Temporal is away.
    """
    workflow = workflow_id(run.organization_id, run.execution_id)
    flushes = await read_flushes(context.client, workflow, closed.run_id)
    async with context.database.reading(run.organization_id) as session:
        plan = (await run_rows.get_run_input(session, run.execution_id, context.sealer)).plan
    if not flushes or fold(flushes).run.status not in FINISHED_RUN:
        at, reason = closed.close_time or datetime.now(UTC), _reason(closed)
        state = await _last_state(context.client, workflow, closed.run_id)
        if state is None:
            # No worker can replay the workflow. Its flushes are all that is known.
            await _apply(context, run, plan, flushes)
            return await _close(context, run, Closing(status="cancelled", kind="run_cancelled", reason=reason, at=at))
        ended, _ = advance(plan, state, CancelRequested(at=at, reason=reason))
        last = flush_of(plan, ended, flushed_seq=0, temporal_run_id=closed.run_id)
        try:
            return await _apply(context, run, plan, (*flushes, last))
        except EventGapError:
            # It was closed during a workflow task, whose events are in no history; only the resulting state is known.
            reached = flush_of(plan, _without_end(state), flushed_seq=0, temporal_run_id=closed.run_id)
            await _apply(context, run, plan, (*flushes, reached))
            return await _close(context, run, Closing(status="cancelled", kind="run_cancelled", reason=reason, at=at))
    return await _apply(context, run, plan, flushes)


async def fail_lost_run(context: RecoveryContext, run: UnfinishedRun) -> bool:
    """Fail a run that Temporal no longer knows, and log an error. True where this finished the row."""
    reason = "Temporal does not know this run any more"
    error = StepError(kind="system", code="RUN_LOST", message=reason)
    closing = Closing(status="failed", kind="run_lost", reason=reason, at=datetime.now(UTC), error=error)
    is_closed = await _close(context, run, closing)
    if is_closed:
        _log.error("run_lost", execution_id=str(run.execution_id), organization_id=str(run.organization_id))
    return is_closed


async def _last_state(client: Client, workflow: str, run_id: str) -> RunState | None:
    """Return the closed workflow's own state; None where no worker can replay it. Raises RPCError: Temporal is away."""
    handle = client.get_workflow_handle(workflow, run_id=run_id)
    try:
        return await handle.query("state", result_type=RunState, rpc_timeout=_QUERY_TIMEOUT)
    except (RPCError, WorkflowQueryFailedError) as error:
        if isinstance(error, RPCError) and error.status is RPCStatusCode.UNAVAILABLE:
            raise
        _log.warning("closed_run_not_queryable", workflow_id=workflow, reason=type(error).__name__)
        return None


def _without_end(state: RunState) -> RunState:
    """Return the state of steps without events, and without an end that the history has not committed."""
    if state.status not in FINISHED_RUN:
        return replace(state, outbox=())
    return replace(state, outbox=(), status="in_progress", completed_at=None, output=None, error=None)


def _reason(closed: WorkflowExecutionDescription) -> str:
    match closed.status:
        case WorkflowExecutionStatus.TERMINATED:
            return "its workflow was terminated in Temporal"
        case WorkflowExecutionStatus.TIMED_OUT:
            return "its workflow ran out of time in Temporal"
        case _:
            return "its workflow was closed in Temporal"


async def _apply(context: RecoveryContext, run: UnfinishedRun, plan: Plan, flushes: tuple[FlushCall, ...]) -> bool:
    if not flushes:
        return False
    async with context.database.writing(run.organization_id) as session:
        result = await projection.apply_whole(session, flushes, plan, context.sealer)
    is_finished = result.applied and flushes[-1].run.status in FINISHED_RUN
    if is_finished:
        _log.warning("run_repaired", execution_id=str(run.execution_id), status=flushes[-1].run.status)
    return is_finished


async def _close(context: RecoveryContext, run: UnfinishedRun, closing: Closing) -> bool:
    async with context.database.writing(run.organization_id) as session:
        if not await repairs.close_run(session, run.execution_id, closing):
            return False
        row = await run_rows.get_run(session, run.execution_id)
        call = NotificationCall(
            organization_id=run.organization_id,
            execution_id=run.execution_id,
            playbook_id=row.playbook_id,
            kind=closing.kind,
            key=f"{closing.kind}:{run.execution_id}",
            data={"reason": closing.reason},
        )
        await notifications.record_notification(session, call)
    _log.warning("run_closed", execution_id=str(run.execution_id), status=closing.status, reason=closing.reason)
    return True

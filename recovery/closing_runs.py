"""Writing the end of a run whose workflow cannot write it any more.

Owns what is written for each way in which a workflow ended. Must not decide which runs are looked at. Invariant: all
that the history committed is written first; only then an end that nobody can say any more is added.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
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
from runtime.histories import read_flushes
from storage.database.sealing import Sealer
from storage.database.sessions import Database
from storage.runs import admission, notifications, projection, repairs, run_rows
from storage.runs.audit_trail import EventGapError
from storage.runs.repairs import Closing, UnfinishedRun

_QUERY_TIMEOUT = timedelta(seconds=5)

_log = structlog.get_logger("recovery.closing_runs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What a process recovers with."""

    database: Database
    client: Client
    sealer: Sealer
    signing_key: bytes


async def write_closed(tools: Tools, run: UnfinishedRun, closed: WorkflowExecutionDescription) -> bool:
    """Write the end of a run whose workflow is closed while its row is not. True where the row is finished by it.

    Raises UnavailableError, RPCError when the database or Temporal is away.
    """
    workflow = workflow_id(run.organization_id, run.execution_id)
    flushes = await read_flushes(tools.client, workflow, closed.run_id)
    async with tools.database.reading(run.organization_id) as session:
        plan = (await admission.get_run_input(session, run.execution_id, tools.sealer)).plan
    if not flushes or fold(flushes).run.status not in FINISHED_RUN:
        at, reason = closed.close_time or datetime.now(UTC), _reason(closed)
        state = await _last_state(tools.client, workflow, closed.run_id)
        if state is None:
            # No worker can replay it. What was flushed is the best that there is.
            await _apply(tools, run, plan, flushes)
            return await _close(tools, run, Closing(status="cancelled", kind="run_cancelled", reason=reason, at=at))
        ended, _ = advance(plan, state, CancelRequested(at=at, reason=reason))
        last = flush_of(plan, ended, flushed_seq=0, temporal_run_id=closed.run_id)
        try:
            return await _apply(tools, run, plan, (*flushes, last))
        except EventGapError:
            # It was closed in the middle of a task. What that task told is in no history, only where it led to.
            reached = flush_of(plan, _without_end(state), flushed_seq=0, temporal_run_id=closed.run_id)
            await _apply(tools, run, plan, (*flushes, reached))
            return await _close(tools, run, Closing(status="cancelled", kind="run_cancelled", reason=reason, at=at))
    return await _apply(tools, run, plan, flushes)


async def write_lost(tools: Tools, run: UnfinishedRun) -> bool:
    """Fail a run that Temporal does not know any more, with an alert. True where the row is finished by it."""
    reason = "Temporal does not know this run any more"
    error = StepError(kind="system", code="RUN_LOST", message=reason)
    closing = Closing(status="failed", kind="run_lost", reason=reason, at=datetime.now(UTC), error=error)
    is_closed = await _close(tools, run, closing)
    if is_closed:
        _log.error("run_lost", execution_id=str(run.execution_id), organization_id=str(run.organization_id))
    return is_closed


async def _last_state(client: Client, workflow: str, run_id: str) -> RunState | None:
    """The closed workflow's own state; None where no worker can tell it. Raises RPCError when Temporal is away."""
    handle = client.get_workflow_handle(workflow, run_id=run_id)
    try:
        return await handle.query("state", result_type=RunState, rpc_timeout=_QUERY_TIMEOUT)
    except (RPCError, WorkflowQueryFailedError) as error:
        if isinstance(error, RPCError) and error.status is RPCStatusCode.UNAVAILABLE:
            raise
        _log.warning("closed_run_does_not_answer", workflow_id=workflow, reason=type(error).__name__)
        return None


def _without_end(state: RunState) -> RunState:
    """What steps came to, without events; an end that the history has not committed does not count."""
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


async def _apply(tools: Tools, run: UnfinishedRun, plan: Plan, flushes: tuple[FlushCall, ...]) -> bool:
    if not flushes:
        return False
    async with tools.database.writing(run.organization_id) as session:
        result = await projection.apply_whole(session, flushes, plan, tools.sealer)
    is_mended = result.applied and flushes[-1].run.status in FINISHED_RUN
    if is_mended:
        _log.warning("run_set_right", execution_id=str(run.execution_id), status=flushes[-1].run.status)
    return is_mended


async def _close(tools: Tools, run: UnfinishedRun, closing: Closing) -> bool:
    async with tools.database.writing(run.organization_id) as session:
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

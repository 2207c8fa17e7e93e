"""Activities that write for the workflow: task rows, the projection, notifications, Temporal's own cancel.

Each call is one transaction, safe to repeat, and retried by Temporal without end while the database or Temporal is
away. They decide nothing about a run: their input is committed history.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from temporalio.service import RPCError, RPCStatusCode

from activities.dependencies import ActivityDependencies
from activities.versions import load_version
from playbooks.common.ids import workflow_id
from playbooks.common.values import FINISHED_RUN
from playbooks.engine.model.temporal_messages import CancelCall, FlushCall, FlushResult, NotificationCall, TaskCall
from runtime.histories import read_flushes
from storage.database.sessions import WriteSession
from storage.runs import notifications, projection, tasks


async def announce_task(
    deps: ActivityDependencies, call: TaskCall, rows: FlushCall | None = None
) -> FlushResult | None:
    """Insert a task's row, once, so that people see it; with `rows` in the transaction of that flush.

    Raises ServiceUnavailableError.
    """
    version = await load_version(deps, call.organization_id, call.playbook_id)

    async def open_task(session: WriteSession) -> None:
        await tasks.open_task(session, call, version.plan, version.document, deps.sealer)

    if rows is not None:
        return await _write(deps, rows, open_task)
    async with deps.database.writing(call.organization_id) as session:
        await open_task(session)
    return None


async def flush(deps: ActivityDependencies, call: FlushCall) -> FlushResult:
    """Write committed state to the run's rows, in one transaction. Raises ServiceUnavailableError."""
    return await _write(deps, call, _nothing_else)


async def _write(
    deps: ActivityDependencies, call: FlushCall, also: Callable[[WriteSession], Awaitable[None]]
) -> FlushResult:
    """Write a flush, and `also` unless the row says that the run is over.

    Where the rows are at another position (a restored backup, a reset), all that the history has committed is written.
    """
    version = await load_version(deps, call.organization_id, call.playbook_id)
    try:
        async with deps.database.writing(call.organization_id) as session:
            result = await projection.apply_flush(session, call, version.plan, deps.sealer)
            if result.row_status not in FINISHED_RUN:
                await also(session)
            return result
    except projection.RowPositionMismatchError:
        workflow = workflow_id(call.organization_id, call.execution_id)
        flushes = await read_flushes(deps.client, workflow, call.temporal_run_id)
    async with deps.database.writing(call.organization_id) as session:
        result = await projection.apply_whole(session, flushes, version.plan, deps.sealer)
        await also(session)
        return result


async def _nothing_else(_: WriteSession) -> None:
    pass


async def record_notification(deps: ActivityDependencies, call: NotificationCall) -> None:
    """Record a notification as undelivered, once under its key. Raises ServiceUnavailableError."""
    async with deps.database.writing(call.organization_id) as session:
        await notifications.record_notification(session, call)


async def request_cancel(deps: ActivityDependencies, call: CancelCall) -> None:
    """Ask Temporal to cancel the run's workflow, so that it closes as Canceled. No effect where it is gone."""
    handle = deps.client.get_workflow_handle(workflow_id(call.organization_id, call.execution_id))
    try:
        await handle.cancel()
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise

"""Activities for the concurrency limit of runs with one key. Each is safe to repeat.

`storage.runs.concurrency` derives which run is next.
"""

from __future__ import annotations

from activities.children import cancel_child
from activities.dependencies import ActivityDependencies
from playbooks.engine.model.control_messages import ConcurrencyFree
from playbooks.engine.model.temporal_messages import AcquireCall, AcquireResult, CancelCall, NotifyNextCall
from runtime.run_signals import signal_run
from storage.runs import concurrency


async def acquire_concurrency(deps: ActivityDependencies, call: AcquireCall) -> AcquireResult:
    """Return whether the run may start now. If not, `cancels_oldest` cancels the oldest blocking runs.

    Raises ServiceUnavailableError or RPCError, to be repeated until there is an answer.
    """
    async with deps.database.reading(call.organization_id) as session:
        is_acquired = await concurrency.is_within_limit(session, call.limit, call.execution_id)
        makes_room = call.cancels_oldest and not is_acquired
        oldest = await concurrency.blocking_runs(session, call.limit, call.execution_id) if makes_room else ()
    reason = f"run {call.execution_id} of the same key took its place"
    for other in oldest:
        await cancel_child(deps, CancelCall(organization_id=call.organization_id, execution_id=other, reason=reason))
    return AcquireResult(is_acquired=is_acquired)


async def notify_next(deps: ActivityDependencies, call: NotifyNextCall) -> None:
    """Notify the runs that may start now. Raises ServiceUnavailableError or RPCError."""
    async with deps.database.reading(call.organization_id) as session:
        found = await concurrency.next_runs(session, call.limit)
    for execution_id in found:
        await signal_run(
            deps.client,
            deps.settings.signing_key,
            organization_id=call.organization_id,
            execution_id=execution_id,
            action=ConcurrencyFree(),
        )

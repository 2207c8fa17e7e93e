"""Activities between a run and the runs that its steps start.

Invariant: the outcome of a child is read from its row. A signal only asks the parent to read it, or is a cancel as any
client may send.
"""

from __future__ import annotations

from activities.dependencies import ActivityDependencies
from activities.failures import timed_total
from activities.payloads import OUTPUT_LINES, store_if_large
from activities.versions import load_version
from playbooks.common.actors import system_actor
from playbooks.common.errors import NotFoundError, ServiceUnavailableError
from playbooks.common.values import FINISHED_RUN, Json, StepError
from playbooks.engine.model.control_messages import CancelRun, ChildEnded
from playbooks.engine.model.temporal_messages import CancelCall, ChildCall, NotifyParentCall, StepOutcome
from playbooks.evaluation.steps import child_output
from runtime.run_signals import signal_run
from storage.runs import payloads, run_rows, unfinished_runs
from storage.runs.run_rows import RunRow


async def read_child(deps: ActivityDependencies, call: ChildCall) -> StepOutcome:
    """Return the outcome of a step that waits for a run; `ready` where that run has not ended.

    Raises ServiceUnavailableError. A repeat gives the same answer, or one that a later end has changed.
    """
    return await timed_total(_outcome(deps, call), _failed)


async def cancel_child(deps: ActivityDependencies, call: CancelCall) -> None:
    """Cancel a run whose parent no longer waits for it. No effect where it is over or does not exist.

    Raises ServiceUnavailableError or RPCError, to be repeated until it is done.
    """
    async with deps.database.writing(call.organization_id) as session:
        try:
            row = await run_rows.get_run(session, call.execution_id)
        except NotFoundError:
            return
        if row.status in FINISHED_RUN:
            return
        is_done = row.status == "queued" and await unfinished_runs.lock_queued(session, call.execution_id)
        if is_done:
            await unfinished_runs.cancel_queued(
                session, call.execution_id, system_actor(call.organization_id), call.reason
            )
    # Also after that: a workflow that has not flushed yet gets it at once.
    is_sent = await signal_run(
        deps.client,
        deps.settings.signing_key,
        organization_id=call.organization_id,
        execution_id=call.execution_id,
        action=CancelRun(reason=call.reason),
    )
    if not is_sent and not is_done and row.status == "queued":
        raise ServiceUnavailableError("somebody is starting the run")


async def notify_parent(deps: ActivityDependencies, call: NotifyParentCall) -> None:
    """Ask the parent to read how this run ended. No effect where the parent is over. Raises RPCError."""
    parent = call.parent
    await signal_run(
        deps.client,
        deps.settings.signing_key,
        organization_id=call.organization_id,
        execution_id=parent.execution_id,
        action=ChildEnded(step=parent.step, visit=parent.visit, execution_id=call.execution_id),
    )


async def _outcome(deps: ActivityDependencies, call: ChildCall) -> StepOutcome:
    async with deps.database.reading(call.organization_id) as session:
        try:
            row = await run_rows.get_run(session, call.child)
        except NotFoundError:
            message = f"run {call.child} is not there any more"
            return _failed(StepError(kind="system", code="CHILD_LOST", message=message))
        sealed = row.output
        if row.output_ref is not None:
            sealed = await payloads.load_payload(session, call.child, row.output_ref)
    match row.status:
        case "completed":
            return await _completed(deps, call, row, deps.sealer.open(sealed))
        case "failed":
            message = f"run {call.child} failed: {'without a reason' if row.error is None else row.error.code}"
            return _failed(StepError(kind="business_rule", code="CHILD_FAILED", message=message))
        case "cancelled":
            message = f"run {call.child} was cancelled"
            return _failed(StepError(kind="business_rule", code="CHILD_CANCELLED", message=message))
        case _:
            return StepOutcome(status="ready")


async def _completed(deps: ActivityDependencies, call: ChildCall, row: RunRow, output: Json) -> StepOutcome:
    version = await load_version(deps, call.organization_id, call.playbook_id)
    plan = version.plan_step(call.step)
    of_child = await load_version(deps, call.organization_id, row.playbook_id)
    made = child_output(version.step(call.step), plan, call.child, output, of_child.plan.sensitive_output)
    held = await store_if_large(deps, call, OUTPUT_LINES + call.line, made, plan.sensitive_output)
    return StepOutcome(status="succeeded", output=held)


def _failed(error: StepError) -> StepOutcome:
    return StepOutcome(status="failed", error=error)

"""Control a run: pause, resume, cancel, verbs about its steps, signals.

The engine decides what a verb does. Invariant: a verb is answered with the run's own verdict; only the row of a run
that has no workflow yet is changed here.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID, uuid5

from api.context import RequestContext
from api.http.polling import PROJECTION_SECONDS, poll
from api.runs.read import read_run
from playbooks.common.errors import AlreadyCancelledError, InvalidStatusError
from playbooks.common.values import FINISHED_RUN, Verdict
from playbooks.engine.model.control_messages import Action, CancelRun, Pause, Resume, RunAction, Signal, StepAction
from storage.runs import run_rows, unfinished_runs
from storage.runs.run_rows import RunRow


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlledRun:
    """The run after a verb. `is_projected` is false where the effect is not in the rows yet."""

    row: RunRow
    is_projected: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalDelivery:
    """The steps that received a signal; `kept` where it waits for a step or for the run to resume."""

    delivered_to: tuple[str, ...]
    kept: bool


async def control_run(
    context: RequestContext, execution_id: UUID, action: RunAction | StepAction, key: str | None
) -> ControlledRun:
    """Pause or resume a run, or resolve one of its steps.

    Raises NotFoundError, InvalidStatusError, InvalidStepStateError, NotEligibleError, ContractError, ValidationError,
    UnavailableError.
    """
    row = await read_run(context, execution_id)
    _refuse_finished(row, action)
    verdict = await _send(context, row, action, key)
    return await _poll_projection(context, row, verdict, action)


async def send_signal(context: RequestContext, execution_id: UUID, signal: Signal, key: str | None) -> SignalDelivery:
    """Deliver a named message to a run.

    Raises NotFoundError, InvalidStatusError, LimitExceededError, ValidationError, UnavailableError.
    """
    row = await read_run(context, execution_id)
    _refuse_finished(row, signal)
    verdict = await _send(context, row, signal, key)
    if verdict is None:
        raise InvalidStatusError("the run's workflow is not open")
    data = verdict.data or {}
    steps = data.get("delivered_to")
    delivered_to = tuple(map(str, steps)) if isinstance(steps, list) else ()
    return SignalDelivery(delivered_to=delivered_to, kept=data.get("kept") is True)


async def cancel_run(context: RequestContext, execution_id: UUID, reason: str | None, key: str | None) -> ControlledRun:
    """Cancel a run; one that has not started is cancelled in its row alone.

    Raises NotFoundError, AlreadyCancelledError, InvalidStatusError, UnavailableError.
    """
    row = await read_run(context, execution_id)
    action = CancelRun(reason=reason)
    _refuse_finished(row, action)
    if row.status == "queued" and await _cancel_queued(context, execution_id, reason):
        await context.services.workflows.request_cancel(context.principal.organization_id, execution_id)
        return ControlledRun(row=await read_run(context, execution_id), is_projected=True)
    verdict = await _send(context, row, action, key)
    return await _poll_projection(context, row, verdict, action)


def _refuse_finished(row: RunRow, action: Action) -> None:
    if isinstance(action, CancelRun) and row.status == "cancelled":
        raise AlreadyCancelledError("the run is cancelled already")
    if row.status in FINISHED_RUN:
        raise InvalidStatusError(f"the run is {row.status} and does not change any more")


async def _cancel_queued(context: RequestContext, execution_id: UUID, reason: str | None) -> bool:
    async with context.writing() as session:
        if not await unfinished_runs.lock_queued(session, execution_id):
            return False
        return await unfinished_runs.cancel_queued(session, execution_id, context.principal.actor, reason)


async def _send(context: RequestContext, row: RunRow, action: Action, key: str | None) -> Verdict | None:
    workflows, principal = context.services.workflows, context.principal
    update_id = None if key is None else str(uuid5(row.execution_id, f"{action.verb}:{key}"))

    async def update() -> Verdict | None:
        return await workflows.update(
            principal.organization_id, row.execution_id, action, principal.actor, update_id=update_id
        )

    verdict = await update()
    if verdict is None and row.status == "queued":
        # Accepted, but without a workflow yet: start it now instead of waiting for the sweeper.
        async with context.reading() as session:
            run_input = await run_rows.get_run_input(session, row.execution_id, context.services.sealer)
        await workflows.start(run_input)
        verdict = await update()
    return verdict


async def _poll_projection(
    context: RequestContext, before: RunRow, verdict: Verdict | None, action: Action
) -> ControlledRun:
    """Return the row once it has the effect of the verb, or as it is after `PROJECTION_SECONDS`."""

    def is_projected(row: RunRow) -> bool:
        return row.status in FINISHED_RUN or (verdict is not None and _has_effect(row, before, action))

    row, is_done = await poll(lambda: read_run(context, before.execution_id), is_projected, PROJECTION_SECONDS)
    if verdict is None:
        # The workflow ended before it could take the verb.
        _refuse_finished(row, action)
        raise InvalidStatusError("the run's workflow is not open")
    return ControlledRun(row=row, is_projected=is_done and verdict.outcome == "accepted")


def _has_effect(row: RunRow, before: RunRow, action: Action) -> bool:
    match action:
        case Pause():
            return row.status == "paused"
        case Resume():
            return row.status == "in_progress"
        case CancelRun():
            return row.status == "cancelled"
        case _:
            return row.seq > before.seq

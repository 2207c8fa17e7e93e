"""Control a run: pause, resume, cancel, verbs about its steps, signals.

The engine decides what a verb does. Invariant: a verb is answered with the run's own verdict; only the row of a run
that has no workflow yet is changed here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from uuid import UUID, uuid5

from api.context import RequestContext
from api.http.polling import PROJECTION_SECONDS, poll
from api.runs.read import read_run
from playbooks.common.errors import AlreadyCancelledError, InvalidStatusError
from playbooks.common.values import FINISHED_RUN, Json, JsonObject, RunStatus, Verdict
from storage.runs import run_rows, unfinished_runs
from storage.runs.run_rows import RunRow

_IS_PROJECTED: Mapping[str, Callable[[RunStatus], bool]] = {
    "pause": lambda status: status == "paused",
    "resume": lambda status: status == "in_progress",
    "cancel_run": lambda status: status == "cancelled",
}


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
    context: RequestContext, execution_id: UUID, verb: str, body: JsonObject, key: str | None
) -> ControlledRun:
    """Pause or resume a run, or resolve one of its steps.

    Raises NotFoundError, InvalidStatusError, InvalidStepStateError, NotEligibleError, ContractError, ValidationError,
    UnavailableError.
    """
    row = await read_run(context, execution_id)
    _refuse_finished(row, verb)
    verdict = await _send(context, row, verb, body, key)
    return await _poll_projection(context, row, verdict, verb)


async def send_signal(
    context: RequestContext, execution_id: UUID, name: str, payload: Json, key: str | None
) -> SignalDelivery:
    """Deliver a named message to a run.

    Raises NotFoundError, InvalidStatusError, LimitExceededError, ValidationError, UnavailableError.
    """
    row = await read_run(context, execution_id)
    _refuse_finished(row, "signal")
    verdict = await _send(context, row, "signal", {"name": name, "payload": payload}, key)
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
    _refuse_finished(row, "cancel_run")
    if row.status == "queued" and await _cancel_queued(context, execution_id, reason):
        await context.services.workflows.request_cancel(context.principal.organization_id, execution_id)
        return ControlledRun(row=await read_run(context, execution_id), is_projected=True)
    verdict = await _send(context, row, "cancel_run", {"reason": reason}, key)
    return await _poll_projection(context, row, verdict, "cancel_run")


def _refuse_finished(row: RunRow, verb: str) -> None:
    if verb == "cancel_run" and row.status == "cancelled":
        raise AlreadyCancelledError("the run is cancelled already")
    if row.status in FINISHED_RUN:
        raise InvalidStatusError(f"the run is {row.status} and does not change any more")


async def _cancel_queued(context: RequestContext, execution_id: UUID, reason: str | None) -> bool:
    async with context.writing() as session:
        if not await unfinished_runs.lock_queued(session, execution_id):
            return False
        return await unfinished_runs.cancel_queued(session, execution_id, context.principal.actor, reason)


async def _send(context: RequestContext, row: RunRow, verb: str, body: JsonObject, key: str | None) -> Verdict | None:
    workflows, principal = context.services.workflows, context.principal
    # A message has no nulls: what is signed has to be what the run reads.
    body = {name: value for name, value in body.items() if value is not None}
    update_id = None if key is None else str(uuid5(row.execution_id, f"{verb}:{key}"))

    async def update() -> Verdict | None:
        return await workflows.update(
            principal.organization_id, row.execution_id, verb, body, principal.actor, update_id=update_id
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
    context: RequestContext, before: RunRow, verdict: Verdict | None, verb: str
) -> ControlledRun:
    """Return the row once it has the effect of the verb, or as it is after `PROJECTION_SECONDS`."""

    def is_projected(row: RunRow) -> bool:
        has_effect = _IS_PROJECTED.get(verb, lambda _: row.seq > before.seq)
        return row.status in FINISHED_RUN or (verdict is not None and has_effect(row.status))

    row, is_done = await poll(lambda: read_run(context, before.execution_id), is_projected, PROJECTION_SECONDS)
    if verdict is None:
        # The workflow ended before it could take the verb.
        _refuse_finished(row, verb)
        raise InvalidStatusError("the run's workflow is not open")
    return ControlledRun(row=row, is_projected=is_done and verdict.outcome == "accepted")

"""Steer a run: pause, resume, cancel.

Owns how a verb reaches a run, also one whose workflow has not started. What the verb does is the machine's. Invariant:
a verb is answered with the run's own verdict; this room never changes a run that has a workflow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from uuid import UUID, uuid5

from api.http.polling import until
from api.http.problems import error_of_code
from api.http.security import Principal
from api.runs.schemas import ControlRequest, SignalAnswer, SignalRequest
from api.services import Services
from playbooks.common.errors import (
    AlreadyCancelledError,
    InvalidActionError,
    InvalidStatusError,
    NotSupportedError,
    Problem,
    ValidationError,
)
from playbooks.common.values import FINISHED_RUN, JsonObject, RunStatus, Verdict
from playbooks.engine.model.control_messages import LATER_VERBS
from storage.runs import admission, run_rows
from storage.runs.run_rows import RunRow

SHOWN_WITHIN_SECONDS = 3.0
_FIELDS: Mapping[str, frozenset[str]] = {
    "pause": frozenset({"until"}),
    "resume": frozenset(),
    "retry_step": frozenset({"step"}),
    "skip_step": frozenset({"step", "output"}),
    "complete_step": frozenset({"step", "output"}),
    "fail_step": frozenset({"step"}),
}
"""The fields of each verb, beside `reason`."""

_SHOWS: Mapping[str, Callable[[RunStatus], bool]] = {
    "pause": lambda status: status == "paused",
    "resume": lambda status: status == "in_progress",
    "cancel_run": lambda status: status == "cancelled",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Controlled:
    """The run after a verb. `is_settled` is false where the effect does not show in the rows yet."""

    row: RunRow
    is_settled: bool


async def control_run(
    services: Services, principal: Principal, execution_id: UUID, request: ControlRequest, key: str | None
) -> Controlled:
    """Pause or resume a run, or say what becomes of one of its steps.

    Raises NotFoundError, InvalidActionError, NotSupportedError, InvalidStatusError, InvalidStepStateError,
    NotEligibleError, ContractError, ValidationError, UnavailableError.
    """
    _check_action(request)
    row = await read_run(services, principal, execution_id)
    _refuse_finished(row, request.action)
    body: JsonObject = {} if request.reason is None else {"reason": request.reason}
    if request.until is not None:
        body["until"] = request.until.isoformat()
    if request.step is not None:
        body["step"] = request.step
    if request.output is not None:
        body["output"] = request.output
    verdict = await _verdict(services, principal, row, request.action, body=body, key=key)
    return await _settled(services, principal, row, verdict, request.action)


async def send_signal(
    services: Services, principal: Principal, execution_id: UUID, request: SignalRequest, key: str | None
) -> SignalAnswer:
    """Deliver a named message to a run.

    Raises NotFoundError, InvalidStatusError, ResourceLimitError, ValidationError, UnavailableError.
    """
    row = await read_run(services, principal, execution_id)
    _refuse_finished(row, "signal")
    body: JsonObject = {"name": request.name, "payload": request.payload}
    verdict = await _verdict(services, principal, row, "signal", body=body, key=key)
    if verdict is None:
        raise InvalidStatusError("the run's workflow is not open")
    if verdict.outcome == "refused":
        raise error_of_code(verdict.code, verdict.detail or "the run refused it", verdict.errors)
    told = verdict.data or {}
    delivered = told.get("delivered_to")
    names = [str(item) for item in delivered] if isinstance(delivered, list) else []
    return SignalAnswer(name=request.name, delivered_to=names, kept=told.get("kept") is True)


async def cancel_run(
    services: Services, principal: Principal, execution_id: UUID, reason: str | None, key: str | None
) -> Controlled:
    """Cancel a run; one that never started is cancelled in its row alone.

    Raises NotFoundError, AlreadyCancelledError, InvalidStatusError, UnavailableError.
    """
    row = await read_run(services, principal, execution_id)
    _refuse_finished(row, "cancel_run")
    if row.status == "queued" and await _cancel_queued(services, principal, execution_id, reason):
        await services.runs.ask_cancel(principal.organization_id, execution_id)
        return Controlled(row=await read_run(services, principal, execution_id), is_settled=True)
    body: JsonObject = {} if reason is None else {"reason": reason}
    verdict = await _verdict(services, principal, row, "cancel_run", body=body, key=key)
    return await _settled(services, principal, row, verdict, "cancel_run")


async def read_run(services: Services, principal: Principal, execution_id: UUID) -> RunRow:
    """The run's row. Raises NotFoundError, also for another organization's."""
    async with services.database.reading(principal.organization_id) as session:
        return await run_rows.get_run(session, execution_id)


def _check_action(request: ControlRequest) -> None:
    if request.action == "cancel":
        _refuse_action("a run is cancelled with DELETE")
    if request.action in LATER_VERBS:
        message = f"'{request.action}' is not supported yet"
        raise NotSupportedError(message, (Problem(pointer="/action", code="NOT_SUPPORTED", message=message),))
    if request.action not in _FIELDS:
        _refuse_action(f"there is no action '{request.action}'; it has to be one of {', '.join(_FIELDS)}")
    fields = _FIELDS[request.action]
    given = request.model_fields_set - {"action", "reason"}
    unknown = sorted({*(request.model_extra or {}), *(given - fields)})
    if "step" in fields and request.step is None:
        message = f"'{request.action}' needs the step"
        raise ValidationError(message, [Problem(pointer="/step", code="REQUIRED", message=message)])
    if unknown:
        message = f"'{request.action}' has no such field"
        raise ValidationError(
            message, [Problem(pointer=f"/{name}", code="UNKNOWN_FIELD", message=message) for name in unknown]
        )


def _refuse_action(message: str) -> None:
    raise InvalidActionError(message, (Problem(pointer="/action", code="INVALID_ACTION", message=message),))


def _refuse_finished(row: RunRow, verb: str) -> None:
    if verb == "cancel_run" and row.status == "cancelled":
        raise AlreadyCancelledError("the run is cancelled already")
    if row.status in FINISHED_RUN:
        raise InvalidStatusError(f"the run is {row.status} and does not change any more")


async def _cancel_queued(services: Services, principal: Principal, execution_id: UUID, reason: str | None) -> bool:
    async with services.writing(principal) as session:
        if not await admission.lock_queued(session, execution_id):
            return False
        return await admission.cancel_queued(session, execution_id, principal.actor, reason)


async def _verdict(
    services: Services, principal: Principal, row: RunRow, verb: str, *, body: JsonObject, key: str | None
) -> Verdict | None:
    # A message has no nulls: what is signed has to be what the run reads.
    body = {name: value for name, value in body.items() if value is not None}
    update_id = None if key is None else str(uuid5(row.execution_id, f"{verb}:{key}"))
    organization_id = principal.organization_id
    verdict = await services.runs.update(
        organization_id, row.execution_id, verb, body, principal.actor, update_id=update_id
    )
    if verdict is None and row.status == "queued":
        # Accepted, but its workflow is not there yet: what the sweeper would do in a moment is done now.
        async with services.database.reading(organization_id) as session:
            run_input = await admission.get_run_input(session, row.execution_id, services.sealer)
        await services.runs.start(run_input)
        verdict = await services.runs.update(
            organization_id, row.execution_id, verb, body, principal.actor, update_id=update_id
        )
    return verdict


async def _settled(
    services: Services, principal: Principal, before: RunRow, verdict: Verdict | None, verb: str
) -> Controlled:
    """The row once it shows the verdict's effect, or as it is after a few seconds."""
    if verdict is not None and verdict.outcome == "refused":
        raise error_of_code(verdict.code, verdict.detail or "the run refused it", verdict.errors)

    async def read() -> RunRow:
        return await read_run(services, principal, before.execution_id)

    def shows(row: RunRow) -> bool:
        shows_verb = _SHOWS.get(verb, lambda _: row.seq > before.seq)
        return row.status in FINISHED_RUN or (verdict is not None and shows_verb(row.status))

    row, is_shown = await until(read, shows, SHOWN_WITHIN_SECONDS)
    if verdict is None:
        # The workflow ended before it could take the verb.
        _refuse_finished(row, verb)
        raise InvalidStatusError("the run's workflow is not open")
    return Controlled(row=row, is_settled=is_shown and verdict.outcome == "accepted")

"""Converts failed activities into events of the machine. Reads types and structured details, never a message."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast, get_args

from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    CancelledError,
    TimeoutError,
    TimeoutType,
)

from playbooks.common.values import ErrorKind, Json, JsonObject, StepError
from playbooks.engine.model.events import AttemptLost, StepReported
from playbooks.engine.model.temporal_messages import StepCall, StepOutcome

_WORKER_SHUTDOWN = "WorkerShutdown"
"""Type of the SDK's failure for a worker that stopped before the activity was done: a lost worker."""

_KINDS = frozenset(cast("tuple[str, ...]", get_args(ErrorKind)))


def read_failure(call: StepCall, error: ActivityError, at: datetime) -> StepReported | AttemptLost:
    """Return the event of a failed attempt. A run never cancels one, so a cancelled attempt was lost."""
    cause = error.cause
    if isinstance(cause, CancelledError):
        return AttemptLost(at=at, step=call.step, visit=call.visit, attempt=call.attempt)
    if isinstance(cause, TimeoutError):
        if cause.type == TimeoutType.HEARTBEAT:
            return AttemptLost(at=at, step=call.step, visit=call.visit, attempt=call.attempt)
        failure = StepError(kind="timeout", code="STEP_TIMEOUT", message="the attempt took longer than its timeout")
        return _reported(call, at, StepOutcome(status="failed", error=failure))
    if isinstance(cause, ApplicationError):
        if cause.type == _WORKER_SHUTDOWN:
            return AttemptLost(at=at, step=call.step, visit=call.visit, attempt=call.attempt)
        return _reported(call, at, _read_application_error(cause))
    failure = StepError(kind="system", code="INTERNAL_ERROR", message="the activity failed")
    return _reported(call, at, StepOutcome(status="failed", error=failure))


def _reported(call: StepCall, at: datetime, outcome: StepOutcome) -> StepReported:
    return StepReported(at=at, step=call.step, visit=call.visit, attempt=call.attempt, outcome=outcome)


def _read_application_error(error: ApplicationError) -> StepOutcome:
    """Read an activity's `{error: {...}, input, values}`; anything else is a failure of kind `system`."""
    details: Any = error.details[0] if error.details else None
    facts = cast("JsonObject", details) if isinstance(details, dict) else {}
    described = facts.get("error")
    values = facts.get("values")
    return StepOutcome(
        status="failed",
        error=_read_step_error(described if isinstance(described, dict) else {}, error),
        input=facts.get("input"),
        values=values if isinstance(values, dict) else {},
    )


def _read_step_error(described: JsonObject, error: ApplicationError) -> StepError:
    kind, code = described.get("kind"), described.get("code")
    retry_after = described.get("retry_after_ms")
    return StepError(
        kind=cast("ErrorKind", kind) if kind in _KINDS else "system",
        code=code if isinstance(code, str) else "INTERNAL_ERROR",
        message=_text(described.get("message")) or error.message,
        pointer=_text(described.get("pointer")),
        retry_after_ms=retry_after if isinstance(retry_after, int) else None,
    )


def _text(value: Json) -> str | None:
    return value if isinstance(value, str) else None

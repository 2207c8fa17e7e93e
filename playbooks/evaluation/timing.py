"""Instants until which `timer` and `signal_wait` steps wait. The workflow does the waiting."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from playbooks.common.values import Json
from playbooks.engine.model.plan import Carrier
from playbooks.evaluation.work import HandlerCall, StepFailedError, failed

_LONGEST = timedelta(days=366)
_UNITS = {"duration_seconds": timedelta(seconds=1), "duration_minutes": timedelta(minutes=1)}


def wait_until(call: HandlerCall, now: datetime) -> datetime:
    """Return the aware UTC instant of `duration_seconds`, `duration_minutes` or `until` (ISO 8601; UTC by default).

    An instant that has passed means now. Raises StepFailedError (kind `validation`) for an invalid duration or
    instant, or one more than 366 days ahead; MappingError.
    """
    for name, unit in _UNITS.items():
        if call.config.get(name) is not None:
            return now + _duration(call.resolve(call.config[name]), unit, name)
    return _instant(call.resolve(call.config.get("until")), now)


def due_of(call: HandlerCall, carrier: Carrier, now: datetime) -> datetime | None:
    """Return until when a step waits: a `timer`'s instant, a `signal_wait`'s timeout, None where nothing bounds it."""
    config = call.config
    if carrier == "timer":
        return wait_until(call, now)
    if carrier != "signal":
        return None
    renamed = {
        "duration_seconds": config.get("timeout_seconds"),
        "duration_minutes": config.get("timeout_minutes"),
        "until": config.get("until"),
    }
    given = {name: value for name, value in renamed.items() if value is not None}
    return wait_until(replace(call, config=given), now) if given else None


def _duration(value: Json, unit: timedelta, name: str) -> timedelta:
    try:
        count = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else -1.0
    except ValueError:
        count = -1.0
    # Also false for NaN.
    if not 0 <= count <= _LONGEST / unit:
        raise _refusal(name, "has to be a duration of at most 366 days")
    return count * unit


def _instant(value: Json, now: datetime) -> datetime:
    try:
        instant = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        instant = None
    if instant is None:
        raise _refusal("until", "has to be an ISO 8601 instant")
    due = instant.replace(tzinfo=instant.tzinfo or UTC)
    if due - now > _LONGEST:
        raise _refusal("until", "lies more than 366 days ahead")
    return now if due <= now else due.astimezone(UTC)


def _refusal(name: str, message: str) -> StepFailedError:
    return failed("validation", "INVALID_CONFIG", f"'{name}' {message}", pointer=f"/config/{name}")

"""Views of what runs and simulations share."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from api.execution.schemas import AttemptView, StepErrorView
from playbooks.common.values import StepError
from playbooks.engine.model.state import Attempt


def error_view(error: StepError | None) -> StepErrorView | None:
    """Return why something failed, if it did."""
    if error is None:
        return None
    return StepErrorView(kind=error.kind, code=error.code, message=error.message, pointer=error.pointer)


def attempt_views(attempts: Sequence[Attempt]) -> list[AttemptView]:
    """Return the attempts at a step, the first one first."""
    return [
        AttemptView(
            attempt=attempt.number,
            started_at=attempt.started_at,
            completed_at=attempt.ended_at,
            error=error_view(attempt.error),
            lost=attempt.lost,
        )
        for attempt in attempts
    ]


def money(amount: Decimal | float | int) -> float:
    """Return an amount as a JSON number with at most four decimals."""
    return round(float(amount), 4)


def milliseconds(duration: timedelta) -> int:
    """Return whole milliseconds, never negative."""
    return max(0, round(duration / timedelta(milliseconds=1)))


def duration_ms(started_at: datetime | None, ended_at: datetime | None) -> int | None:
    """Return the time between two instants in milliseconds; None while one of them is missing."""
    return milliseconds(ended_at - started_at) if started_at and ended_at else None

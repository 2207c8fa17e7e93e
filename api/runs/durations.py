"""Working and waiting time of a run, from the times of its steps.

Parallel steps count once: the sum is the time during which at least one step worked (or waited).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from playbooks.common.values import JsonObject
from storage.runs.step_lines import StepRow

Span = tuple[datetime, datetime]


def working_time(steps: Sequence[StepRow], now: datetime) -> timedelta:
    """Return the time in which non-human steps worked; the review of an AI's answer is waiting."""
    return _covered(_working(step, now) for step in steps)


def waiting_time(steps: Sequence[StepRow], now: datetime) -> timedelta:
    """Return the time in which a task was open."""
    return _covered(_waiting(step, now) for step in steps)


def _working(step: StepRow, now: datetime) -> Span | None:
    if step.started_at is None or step.step_type == "human":
        return None
    opened = None if step.task is None else _instant(step.task, "opened_at")
    return step.started_at, opened or step.completed_at or now


def _waiting(step: StepRow, now: datetime) -> Span | None:
    opened = None if step.task is None else _instant(step.task, "opened_at")
    if step.task is None or opened is None:
        return None
    return opened, _instant(step.task, "closed_at") or step.completed_at or now


def _covered(spans: Iterable[Span | None]) -> timedelta:
    total = timedelta(0)
    reached: datetime | None = None
    for start, end in sorted(span for span in spans if span is not None):
        begin = start if reached is None else max(start, reached)
        if end > begin:
            total += end - begin
        reached = end if reached is None else max(reached, end)
    return total


def _instant(task: JsonObject, name: str) -> datetime | None:
    value = task.get(name)
    return datetime.fromisoformat(value) if isinstance(value, str) else None

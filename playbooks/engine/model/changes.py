"""Fields of a run and of a step that the rules change, for the type checker: `replace` itself accepts any."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import TypedDict
from uuid import UUID

from playbooks.common.values import Held, JsonObject, RunStatus, StepError, StepStatus
from playbooks.engine.model import state


class VisibleFields(TypedDict, total=False):
    """Fields of a run that its row shows."""

    status: RunStatus
    started_at: datetime
    completed_at: datetime
    pause: state.PauseState | None
    ending: state.Ending | None
    concurrency: state.ConcurrencyState
    cost: Decimal
    cancel_reason: str | None
    output: Held
    error: StepError | None


class InternalFields(TypedDict, total=False):
    """Fields of a run that no row shows."""

    timers: dict[str, datetime]
    requests: dict[str, state.Request]
    kept: tuple[str, ...]
    waived_steps: tuple[str, ...]
    is_making_output: bool
    is_draining: bool
    concurrency: state.ConcurrencyState | None
    concurrency_notified: bool
    loops: dict[str, state.LoopState]
    next_line: int
    signals: tuple[state.KeptSignal, ...]
    undo: tuple[state.Undo, ...]


class StepFields(TypedDict, total=False):
    """Fields of a step that a rule may change."""

    status: StepStatus
    attempts: tuple[state.Attempt, ...]
    ready: bool
    is_parked: bool
    input: Held
    output: Held
    values: JsonObject
    error: StepError | None
    reason: str | None
    started_at: datetime | None
    completed_at: datetime
    wait_until: datetime | None
    cost: Decimal
    measured_cost: Decimal | None
    is_evaluating_repeat: bool
    incident_at: datetime | None
    attempts_before_retry: int
    confidence: float | None
    confidence_source: str | None
    task: state.TaskState | None
    child: UUID

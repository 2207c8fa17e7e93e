"""Events of a run, in the past tense. Each one is legal in every state; late or repeated ones change nothing.

Every event carries `at`, the workflow's time, because the machine has no clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from playbooks.common.values import Held, StepError
from playbooks.engine.model.control_messages import ControlMessage
from playbooks.engine.model.temporal_messages import LoopOutcome, OutcomeOfCheck, StepOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted:
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPrepared:
    """The lane evaluated the condition and resolved the input of a step that is carried elsewhere."""

    at: datetime
    step: str
    visit: int
    outcome: StepOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReported:
    """An attempt's activity reported: succeeded, skipped (condition false) or failed."""

    at: datetime
    step: str
    visit: int
    attempt: int
    outcome: StepOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptLost:
    """The worker of a running attempt vanished (heartbeat timeout): same attempt, same key, once more."""

    at: datetime
    step: str
    visit: int
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerFired:
    at: datetime
    timer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageReceived:
    """A readable control message. `wants_answer` is true for updates: a verdict must be given."""

    at: datetime
    message: ControlMessage
    request: str
    wants_answer: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageRefused:
    """A signal that could not be read, or a verb that is not supported."""

    at: datetime
    verb: str
    code: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageChecked:
    """The lane verified a message's identity and, for a decision, its form."""

    at: datetime
    request: str
    outcome: OutcomeOfCheck


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelRequested:
    """Temporal's own cancel, or a row that was cancelled before the workflow reported."""

    at: datetime
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopEvaluated:
    """The lane evaluated the condition of a loop: `while` of a `repeat`, `complete_when` of a `for_each`."""

    at: datetime
    step: str
    visit: int
    outcome: LoopOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemsCollected:
    """The lane made a `for_each` step's output."""

    at: datetime
    step: str
    visit: int
    outcome: StepOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildRead:
    """The lane read the run that a step waits for: succeeded, failed, or (`ready`) not ended yet."""

    at: datetime
    step: str
    visit: int
    outcome: StepOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class ConcurrencyReported:
    """The rows were asked for a place under the concurrency limit."""

    at: datetime
    is_acquired: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainRequested:
    """The history is long: nothing begins until the workflow has continued as new."""

    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Continued:
    """The workflow has continued as new: what was held continues."""

    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputMade:
    """The lane evaluated the playbook's `output` and checked it against the contract."""

    at: datetime
    output: Held = None
    error: StepError | None = None


Message: TypeAlias = MessageReceived | MessageRefused | MessageChecked
Happening: TypeAlias = (
    RunStarted
    | StepPrepared
    | StepReported
    | AttemptLost
    | LoopEvaluated
    | ItemsCollected
    | ChildRead
    | ConcurrencyReported
    | TimerFired
    | CancelRequested
    | DrainRequested
    | Continued
    | OutputMade
)
Event: TypeAlias = Message | Happening

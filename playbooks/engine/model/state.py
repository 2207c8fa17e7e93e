"""The state of one run: data only, so that replay, continue-as-new, tests and explanations share it.

`seq` counts transitions of the run; a step's `seq` is the run's when it last changed, so a comparison
finds what the next flush writes. Instants are aware UTC.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Literal, TypeAlias
from uuid import UUID

from playbooks.common.values import Actor, Held, Json, JsonObject, Priority, RunStatus, StepError, StepStatus
from playbooks.engine.model.audit import AuditKind
from playbooks.engine.model.control_messages import Choice, ControlMessage

FIRST_FURTHER_LINE = 100_001
"""Lines of further visits, of items and of what undoes begin here."""

MAX_FURTHER_LINES = 99_000
"""The most lines that a run has beside those of its steps' first visits."""

ConcurrencyState: TypeAlias = Literal["acquiring", "waiting", "acquiring_again"]
"""A run without its place under the concurrency limit: it asks for it, waits, or asks again."""

TaskDecision: TypeAlias = Literal["approved", "rejected", "changes_requested", "timed_out", "no_quorum"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try at a step. A lost worker is not an attempt, nor is one that could not begin: `lost` and `not_started`
    count how often this one was dispatched again.
    """

    number: int
    started_at: datetime
    ended_at: datetime | None = None
    error: StepError | None = None
    lost: int = 0
    not_started: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """One person's answer to a task."""

    actor: Actor
    choice: Choice
    at: datetime
    comment: str | None = None
    data: JsonObject | None = None
    attachments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskState:
    """A person's task: open until `decision` is set or the step ends."""

    id: UUID
    opened_at: datetime
    roles: tuple[str, ...]
    due_at: datetime | None = None
    claimant: Actor | None = None
    claimed_at: datetime | None = None
    claims: tuple[UUID, ...] = ()
    votes: tuple[Vote, ...] = ()
    escalated: bool = False
    is_review: bool = False
    decision: TaskDecision | None = None
    closed_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepState:
    """One visit of a step, as its line shows it.

    `measured_cost` is what its worker reported; without it the plan's price counts at completion. `line` is the number
    of its line where that is not the step's own (further visits, items, compensations). An item has its `index`, and
    its value in `item` where the list is not stored apart. `is_evaluating_repeat`: the work is done, and `repeat.while`
    is being evaluated. `incident_at`: it failed for good and waits for an intervention; attempts that were made before
    the last retry by hand (`attempts_before_retry`) do not count. `child` is the run that it started.
    """

    key: str
    seq: int = 0
    visit: int = 1
    status: StepStatus = "pending"
    attempts: tuple[Attempt, ...] = ()
    ready: bool = False
    is_parked: bool = False
    input: Held = None
    output: Held = None
    values: JsonObject = field(default_factory=dict[str, Json])
    error: StepError | None = None
    reason: str | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    wait_until: datetime | None = None
    cost: Decimal = Decimal(0)
    measured_cost: Decimal | None = None
    line: int | None = None
    item: Held = None
    index: int | None = None
    is_evaluating_repeat: bool = False
    incident_at: datetime | None = None
    attempts_before_retry: int = 0
    confidence: float | None = None
    confidence_source: str | None = None
    task: TaskState | None = None
    child: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """One entry of the run's trail. `number` is gapless from 1 (1 is written by the API at execute)."""

    number: int
    at: datetime
    kind: AuditKind
    actor: Actor | None = None
    step: str | None = None
    data: JsonObject = field(default_factory=dict[str, Json])


@dataclass(frozen=True, slots=True, kw_only=True)
class PauseState:
    """Reason and time of a pause. `cause` `budget` waives the held step's amount at resume."""

    since: datetime
    cause: Literal["request", "budget"]
    reason: str | None = None
    until: datetime | None = None
    held_steps: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A control message that is being checked, or was checked while the run was paused (`checked`, `actor` set)."""

    id: str
    message: ControlMessage
    wants_answer: bool
    actor: Actor | None = None
    checked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopState:
    """A `for_each` that is running. `items` is the list, or where it is stored; `begun` items have been started.

    `results` holds the output of each completed item by its index. `evaluated` items had ended when `complete_when` was
    last evaluated, which goes on while `is_evaluating`. `is_collecting`: the step's output is being made;
    `is_collected`: it was made. Items may go on after that.
    """

    items: Held
    count: int
    begun: int = 0
    completed: int = 0
    failed: int = 0
    skipped: int = 0
    results: dict[str, Held] = field(default_factory=dict[str, Held])
    is_evaluating: bool = False
    evaluated: int = 0
    is_collecting: bool = False
    is_collected: bool = False

    @property
    def ended(self) -> int:
        return self.completed + self.failed + self.skipped


@dataclass(frozen=True, slots=True, kw_only=True)
class Undo:
    """A completed visit that may have to be undone, with its output."""

    step: str
    visit: int
    output: Held
    index: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a run ends once its completed steps are undone."""

    status: Literal["failed", "cancelled"]
    reason: str
    data: JsonObject
    actor: Actor | None = None
    step: str | None = None
    error: StepError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptSignal:
    """A named message that no step waited for, or (`is_held`) that came while the run was paused."""

    name: str
    payload: Json
    at: datetime
    actor: Actor | None = None
    is_held: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RunState:
    """Everything about a run that its future depends on.

    `past`: finished visits and items that the next flush writes. `undo`: completed visits that can be undone, in order;
    `ending` is set while they are. `is_draining`: nothing begins until the workflow has continued as new.
    `concurrency`: nothing begins before the run has acquired its limit; `concurrency_notified`: a notification came
    while it asked.
    """

    organization_id: UUID
    execution_id: UUID
    initiator: Actor
    priority: Priority
    status: RunStatus = "queued"
    seq: int = 0
    epoch: int = 0
    event_count: int = 1
    started_at: datetime | None = None
    completed_at: datetime | None = None
    timeout_minutes: float | None = None
    max_retries: int | None = None
    debug: bool = False
    notifies_on_completion: bool = False
    input: JsonObject = field(default_factory=dict[str, Json])
    variables: JsonObject = field(default_factory=dict[str, Json])
    steps: dict[str, StepState] = field(default_factory=dict[str, StepState])
    timers: dict[str, datetime] = field(default_factory=dict[str, datetime])
    requests: dict[str, Request] = field(default_factory=dict[str, Request])
    kept: tuple[str, ...] = ()
    pause: PauseState | None = None
    cost: Decimal = Decimal(0)
    waived_steps: tuple[str, ...] = ()
    is_making_output: bool = False
    is_draining: bool = False
    concurrency: ConcurrencyState | None = None
    concurrency_notified: bool = False
    loops: dict[str, LoopState] = field(default_factory=dict[str, LoopState])
    past: tuple[StepState, ...] = ()
    next_line: int = FIRST_FURTHER_LINE
    signals: tuple[KeptSignal, ...] = ()
    undo: tuple[Undo, ...] = ()
    ending: Ending | None = None
    cancel_reason: str | None = None
    output: Held = None
    error: StepError | None = None
    outbox: tuple[AuditEvent, ...] = ()

"""The state of one run: data only, so that replay, continue-as-new, tests and explanations share it.

`seq` counts transitions of the run; a step's `seq` is the run's when it last changed, so "what must a flush carry"
is a comparison. Instants are aware UTC.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Literal, TypeAlias
from uuid import UUID

from playbooks.common.values import Actor, Held, Json, JsonObject, Priority, RunStatus, StepError, StepStatus
from playbooks.engine.model.audit import AuditKind
from playbooks.engine.model.control_messages import Envelope

FIRST_FURTHER_LINE = 100_001
"""Lines of further visits, of items and of what undoes begin here."""

MAX_FURTHER_LINES = 99_000
"""So many lines has a run beside those of its steps' first visits."""

SlotState: TypeAlias = Literal["asking", "waiting", "asking_again"]
"""A run that may not go on yet: it asks whether it may, waits for its turn, or asks again."""

Choice: TypeAlias = Literal["approve", "reject", "abstain", "request_changes"]
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
    """What a person sees of a step: open until `decision` is set or the step ends."""

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

    `measured_cost` is what its worker said it cost; without it the plan's price counts at completion. `line` is the
    number of its line where that is not the step's own number (further visits, items, what undoes). An item has its
    `index`, and its value in `item` where the list travels. `is_testing`: the work is done, and whether it is repeated
    is being found out. `incident_at`: it failed for good, and somebody has to say what becomes of it; `forgiven` are
    the attempts that do not count since. `child` is the run that it started.
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
    is_testing: bool = False
    incident_at: datetime | None = None
    forgiven: int = 0
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
    """Why and since when a run is paused. `cause` `budget` waives the held step's amount at resume."""

    since: datetime
    cause: Literal["request", "budget"]
    reason: str | None = None
    until: datetime | None = None
    held_steps: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A control message that is being checked, or was checked while the run was paused (`checked`, `actor` set)."""

    id: str
    envelope: Envelope
    wants_answer: bool
    actor: Actor | None = None
    checked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopState:
    """A `for_each` on its way. `items` is the list, or where it is stored; `begun` items have been given to somebody.

    `results` holds the output of each completed item by its index. `tested` items had ended when its condition was last
    evaluated, which goes on while `is_testing`. `is_enough`: the step's output is being made, and `is_gathered`: it was
    made; items may go on after that.
    """

    items: Held
    count: int
    begun: int = 0
    completed: int = 0
    failed: int = 0
    skipped: int = 0
    results: dict[str, Held] = field(default_factory=dict[str, Held])
    is_testing: bool = False
    tested: int = 0
    is_enough: bool = False
    is_gathered: bool = False

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
    """How a run ends once what it did is undone."""

    status: Literal["failed", "cancelled"]
    reason: str
    data: JsonObject
    actor: Actor | None = None
    step: str | None = None
    error: StepError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptSignal:
    """A named message that came before anybody waited for it, or (`is_held`) while the run was paused."""

    name: str
    payload: Json
    at: datetime
    actor: Actor | None = None
    is_held: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RunState:
    """Everything about a run that its future depends on.

    `past` are finished visits and items on their way to the rows; `undo` what was done and can be undone, in order;
    `ending` is set while it is undone. `is_draining`: nothing begins until the workflow has continued as new. `slot`:
    nothing begins before it is this run's turn among those of its key; `has_slot_news`: it was told while it asked.
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
    slot: SlotState | None = None
    has_slot_news: bool = False
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

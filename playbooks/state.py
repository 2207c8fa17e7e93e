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

from playbooks.envelopes import Envelope
from playbooks.values import Actor, Held, Json, JsonObject, Priority, RunStatus, StepError, StepStatus

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

    `measured_cost` is what its worker said it cost; without it the plan's price counts at completion.
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
    confidence: float | None = None
    confidence_source: str | None = None
    task: TaskState | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """One entry of the run's trail. `number` is gapless from 1 (1 is written by the API at execute)."""

    number: int
    at: datetime
    kind: str
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
class RunState:
    """Everything about a run that its future depends on."""

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
    cancel_reason: str | None = None
    output: Held = None
    error: StepError | None = None
    outbox: tuple[AuditEvent, ...] = ()

"""Messages across Temporal: one input and one output type per workflow and activity; new fields have defaults.

Values over 64 KB are stored by the activity that made them and travel as a `PayloadRef`; a call's `stored` names
those that its activity has to load (keys: `input`, or a step's key).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Literal
from uuid import UUID

from playbooks.common.values import Actor, Held, Json, JsonObject, PayloadRef, Priority, RunStatus, StepError
from playbooks.engine.model.control_messages import ControlMessage
from playbooks.engine.model.plan import Plan
from playbooks.engine.model.state import AuditEvent, PauseState, RunState, StepState

ENGINE_VERSION = 1
"""Version of the rules and of the wire format that a new run is stamped with. Nothing is released yet: there is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParentRun:
    """The run, and the visit of its step, that started a run. `depth` counts the runs above; `waits`: it is
    notified of the end."""

    execution_id: UUID
    step: str
    visit: int
    depth: int
    waits: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ConcurrencyLimit:
    """At most `max_runs` runs of one key (`label`) go on at once; `on_limit` says what becomes of the next."""

    label: str
    max_runs: int
    on_limit: Literal["queue", "reject", "cancel_oldest"] = "queue"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInput:
    """Input of `PlaybookRun`. `state` is set where a run goes on after continue-as-new.

    `has_search_attributes`: the namespace has ours; `notification` is the body's
    `notification_settings`, kept as it came. `parent` is who started it, where that is a run.
    """

    organization_id: UUID
    execution_id: UUID
    plan: Plan
    initiator: Actor
    input: JsonObject
    priority: Priority = "normal"
    tags: tuple[str, ...] = ()
    variables: JsonObject = field(default_factory=dict[str, Json])
    max_retries: int | None = None
    timeout_minutes: float | None = None
    debug: bool = False
    notification: JsonObject | None = None
    has_search_attributes: bool = False
    engine_version: int = ENGINE_VERSION
    state: RunState | None = None
    parent: ParentRun | None = None
    slot: ConcurrencyLimit | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """Result of `PlaybookRun`, and the details of the failure that ends a failed run."""

    status: RunStatus
    seq: int
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OfRun:
    """The run that an activity works for."""

    organization_id: UUID
    execution_id: UUID
    playbook_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCall(OfRun):
    """One attempt at a step, or the preparation of one.

    `context` holds only the paths that the plan says the step refers to: `{input, steps: {key: {status, output}},
    run, vars}`. `is_prepared`: `prepared_input` is the step's input already and its condition holds. `line`: the
    number of the visit's line, where it is not the step's. `opens_loop`: the list of a `for_each` is wanted, not an
    input. An item has its `index`, and `items` where the list is stored; else its value is `item` in the context.
    """

    step: str
    visit: int
    attempt: int
    effect_key: str
    context: JsonObject
    stored: dict[str, PayloadRef] = field(default_factory=dict[str, PayloadRef])
    is_prepared: bool = False
    prepared_input: Held = None
    is_debug: bool = False
    line: int | None = None
    opens_loop: bool = False
    items: Held = None
    index: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOutcome:
    """Result of an attempt, or of a preparation (`status` `ready`).

    `values` are what the condition read; `needs_review` asks for a person because the confidence is too low;
    `elapsed_ms` lets the shell bound a workflow task without a clock; `rows_seq` is set where the activity wrote the
    rows that it carried, up to this seq. `items` and `item_count`: what a `for_each` step goes over.
    """

    status: Literal["ready", "succeeded", "skipped", "failed"]
    input: Held = None
    output: Held = None
    error: StepError | None = None
    reason: str | None = None
    values: JsonObject = field(default_factory=dict[str, Json])
    cost: Decimal | None = None
    confidence: float | None = None
    confidence_source: str | None = None
    needs_review: bool = False
    wait_until: datetime | None = None
    items: Held = None
    item_count: int | None = None
    elapsed_ms: int = 0
    rows_seq: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopCall(OfRun):
    """The condition of a loop (`step` is its last step, or the `for_each` step); `context` as in `StepCall`."""

    step: str
    context: JsonObject
    stored: dict[str, PayloadRef] = field(default_factory=dict[str, PayloadRef])


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopOutcome:
    """`holds`: the loop's condition does. `values` are what it read."""

    holds: bool = False
    error: StepError | None = None
    values: JsonObject = field(default_factory=dict[str, Json])
    elapsed_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectCall(OfRun):
    """Items of a `for_each` step whose output is to be made: `results` by index, of `count`; `line` is its step's."""

    step: str
    line: int
    count: int
    completed: int
    failed: int
    skipped: int
    results: dict[str, Held] = field(default_factory=dict[str, Held])


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildCall(OfRun):
    """The run `child` that a step waits for; `line` is the number of the step's line."""

    step: str
    line: int
    child: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifyParentCall:
    """The parent of a run that has ended is notified."""

    organization_id: UUID
    execution_id: UUID
    parent: ParentRun


@dataclass(frozen=True, slots=True, kw_only=True)
class AcquireCall:
    """A place under the limit for a run; `cancels_oldest`: the oldest runs are cancelled where it is full."""

    organization_id: UUID
    execution_id: UUID
    limit: ConcurrencyLimit
    cancels_oldest: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AcquireResult:
    is_acquired: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifyNextCall:
    """A run of this key has ended: the runs that may begin by that are notified."""

    organization_id: UUID
    limit: ConcurrencyLimit


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckCall(OfRun):
    """A control message whose identity, and whose form where `step` is set, is to be checked.

    `needs_person`: only a person's own identity will do; `checks_output`: the body's `output` becomes the step's.
    `signal_steps`: keys of steps that the signal may end, whose contracts it has to satisfy.
    """

    message: ControlMessage
    step: str | None = None
    task_id: UUID | None = None
    checks_form: bool = False
    needs_person: bool = False
    checks_output: bool = False
    signal_steps: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeOfCheck:
    """Sender of a message; `code` is set where it is refused, with `errors` pointing into it."""

    actor: Actor | None = None
    code: str | None = None
    detail: str | None = None
    errors: tuple[JsonObject, ...] = ()
    elapsed_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputCall(OfRun):
    """The run's output is to be made. `context` as in `StepCall`; `final` are the outputs used without a mapping."""

    context: JsonObject
    stored: dict[str, PayloadRef] = field(default_factory=dict[str, PayloadRef])


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputResult:
    output: Held = None
    error: StepError | None = None
    elapsed_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCall(OfRun):
    """A task whose row is to be made (once), so that people see it."""

    seq: int
    step: StepState


@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationCall(OfRun):
    """A notification to record once under `key`. `kind` is a machine name, `data` its body."""

    kind: str
    key: str
    data: JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelCall:
    """A run to cancel: this one's workflow by Temporal, or a child."""

    organization_id: UUID
    execution_id: UUID
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunProjection:
    """The run's own columns after a flush. `children` are the runs that its steps wait for."""

    status: RunStatus
    priority: Priority
    cost: Decimal
    total_steps: int
    started_at: datetime | None
    completed_at: datetime | None
    current_step: str | None
    output: Held = None
    error: StepError | None = None
    pause: PauseState | None = None
    variables: JsonObject = field(default_factory=dict[str, Json])
    cancel_reason: str | None = None
    digest: str | None = None
    open_incidents: int = 0
    waiting_for: Literal["concurrency"] | None = None
    children: tuple[UUID, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FlushCall(OfRun):
    """Committed state for the tables: the run, each step that changed, and the new events.

    It holds the changes since `after_seq`, the seq of the flush before it; rows at another seq need more than this
    flush. None where that is not known.
    """

    temporal_run_id: str
    seq: int
    run: RunProjection
    steps: tuple[StepState, ...]
    events: tuple[AuditEvent, ...]
    after_seq: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FlushResult:
    """`applied` is false where the row was ahead. `row_status` is the row's status before this flush."""

    applied: bool
    row_status: RunStatus

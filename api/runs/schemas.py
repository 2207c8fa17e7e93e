"""Runs: what starts and steers them, and how they are shown (field names of the contract's section 6)."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from api.http.schemas import Instant, PageQuery, RequestModel
from api.simulation.given_schemas import SimulationGiven
from playbooks.common.values import Json, JsonObject, Priority, RunStatus, StepStatus, StepType

Tag = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^\S(.*\S)?$")]
ShortText = Annotated[str, StringConstraints(min_length=1, max_length=255)]
Reason = Annotated[str, StringConstraints(max_length=2000)]


class ExecutionContext(RequestModel):
    """What the run is about. Tags and priority are labels of the run, the ids are columns of its row."""

    priority: Priority = "normal"
    tags: list[Tag] = Field(default_factory=list[Tag], max_length=20)
    correlation_id: ShortText | None = None
    subject_entity_id: UUID | None = None


class NotificationChannel(RequestModel):
    """A channel with its address; a bare word stands for the organization's address of that channel."""

    type: ShortText
    address: ShortText | None = None
    enabled: bool = True


class RunNotificationSettings(RequestModel):
    """Whom to tell when the run has ended."""

    on_completion: bool = False
    notification_channels: list[ShortText | NotificationChannel] = Field(
        default_factory=list[ShortText | NotificationChannel], max_length=20
    )


class ExecutionOptions(RequestModel):
    """How the run is executed. `max_retries` and `timeout_minutes` replace those of the playbook's policies;
    `auto_approve_human_steps` is for `simulation` only."""

    max_retries: int | None = Field(default=None, ge=0, le=100)
    timeout_minutes: float | None = Field(default=None, gt=0, le=5_256_000)
    notification_settings: RunNotificationSettings | None = None
    context_variables: JsonObject = Field(default_factory=dict[str, Json])
    execution_mode: Literal["standard", "debug", "simulation"] = "standard"
    auto_approve_human_steps: bool = False


class ExecuteRequest(RequestModel):
    """Starts a run. `input_data` must satisfy the playbook's input contract. `simulation` belongs to the mode of that
    name."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "input_data": {"customer_id": "123", "amount": 5000},
                    "execution_context": {"priority": "high", "tags": ["urgent", "customer-service"]},
                    "execution_options": {"max_retries": 3, "timeout_minutes": 60},
                }
            ]
        },
    )

    input_data: JsonObject = Field(default_factory=dict[str, Json])
    execution_context: ExecutionContext = Field(default_factory=ExecutionContext)
    execution_options: ExecutionOptions = Field(default_factory=ExecutionOptions)
    simulation: SimulationGiven | None = None


class ControlRequest(RequestModel):
    """Steers a run, or a step of it.

    `until` belongs to `pause`: the run goes on by itself at that instant. `step` (a key; of an item `key[3]`) belongs
    to the verbs about steps, `output` to `skip_step` and `complete_step`.
    """

    # Fields of verbs that come later are told apart from unknown ones by the operation.
    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {"action": "pause", "reason": "waiting for the auditor"},
                {"action": "retry_step", "step": "book_flight", "reason": "the airline is back"},
                {"action": "complete_step", "step": "book_flight", "output": {"booking": "AB12"}},
            ]
        },
    )

    action: str = Field(max_length=64, examples=["pause", "resume", "retry_step"])
    reason: Reason | None = None
    until: Instant | None = None
    step: Annotated[str, StringConstraints(min_length=1, max_length=100)] | None = None
    output: Json = None


class SignalRequest(RequestModel):
    """A named message for the run's `signal_wait` steps. `payload` is any JSON."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "shipment_arrived", "payload": {"parcel": "1Z999"}}]}
    )

    name: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    payload: Json = None


class SignalAnswer(BaseModel):
    """What became of a message. `kept`: it takes effect when a step waits for it, or when the run goes on."""

    name: str
    delivered_to: list[str]
    kept: bool


class CancelRequest(RequestModel):
    """The body of a cancellation; it may be left out."""

    reason: Reason | None = Field(default=None, examples=["the applicant withdrew"])


class RunListQuery(PageQuery):
    """Filters and order of the list of runs. `status` may be repeated."""

    playbook_id: UUID | None = None
    code: str | None = Field(default=None, max_length=64)
    status: list[RunStatus] = Field(default_factory=list[RunStatus])
    initiated_by: str | None = Field(default=None, max_length=255, description="a person's id or the token's `sub`")
    priority: Priority | None = None
    tag: str | None = Field(default=None, max_length=64)
    correlation_id: str | None = Field(default=None, max_length=255)
    subject_entity_id: UUID | None = None
    date_from: Instant | None = Field(default=None, description="started at or after")
    date_to: Instant | None = Field(default=None, description="started at or before")
    duration_gte: float | None = Field(default=None, ge=0, le=1e12, description="milliseconds; finished runs")
    duration_lte: float | None = Field(default=None, ge=0, le=1e12, description="milliseconds; finished runs")
    has_incident: bool | None = None
    sort_by: Literal["started_at", "completed_at", "duration", "status", "success_rate", "priority"] = "started_at"
    sort_direction: Literal["asc", "desc"] = "desc"
    include_steps: bool = False
    include_analytics: bool = False
    include_output_data: bool = False


class StepErrorView(BaseModel):
    """Why something failed. Branch on `kind` and `code`."""

    kind: str = Field(examples=["timeout"])
    code: str = Field(examples=["ATTEMPT_TIMEOUT"])
    message: str
    pointer: str | None = None


class AttemptView(BaseModel):
    """One try at a step. `lost` counts workers that vanished during it; they are not tries."""

    attempt: int
    started_at: datetime
    completed_at: datetime | None = None
    error: StepErrorView | None = None
    lost: int = 0


class StepView(BaseModel):
    """One visit of a step in a run."""

    step_id: UUID
    step_name: str
    step_key: str
    step_number: int
    visit: int = 1
    status: StepStatus
    worker_type: str
    step_type: StepType
    started_at: datetime | None = None
    completed_at: datetime | None = None
    duration_ms: int | None = None
    input_data: Json = None
    output_data: Json = None
    retry_count: int = 0
    retry_history: list[AttemptView] = Field(default_factory=list[AttemptView])
    error: StepErrorView | None = None
    reason: str | None = None
    cost: float = 0.0
    confidence: float | None = None
    confidence_source: str | None = None
    task_id: UUID | None = None
    child_execution_id: UUID | None = Field(default=None, description="the run that a sub_playbook step started")


class CurrentStepView(BaseModel):
    """Where the run is."""

    step_name: str
    step_key: str
    step_number: int
    status: StepStatus


class ProgressView(BaseModel):
    """How far the run is: steps that ended, of all."""

    finished_steps: int
    total_steps: int
    percent: float = Field(examples=[60.0])


class ExecutionSummary(BaseModel):
    """What the run came to so far. Waiting for people is not counted as work."""

    performance_grade: str = Field(examples=["A+"])
    performance_score: float = Field(examples=[100.0])
    success_rate: float = Field(examples=[1.0], description="completed steps, of those that were tried")
    cost: float = Field(examples=[53.0])
    total_cost: float = Field(examples=[53.0], description="the same as `cost`")
    currency: str = Field(examples=["USD"])
    duration_ms: int | None = None
    working_ms: int = 0
    waiting_ms: int = 0
    estimated_minutes: float = 0.0
    retries: int = 0


class RunPermissions(BaseModel):
    """What the caller may do with the run as it stands."""

    can_pause: bool
    can_resume: bool
    can_cancel: bool
    can_view_sensitive: bool


class PauseView(BaseModel):
    """Why and since when the run is paused."""

    since: datetime | None = None
    cause: str | None = Field(default=None, examples=["request", "budget"])
    reason: str | None = None
    until: datetime | None = None


class EventView(BaseModel):
    """One entry of the audit trail. `hash` covers the entry and `previous_hash`, so the chain can be checked."""

    number: int
    at: datetime | None = None
    kind: str = Field(examples=["run_paused"])
    step_key: str | None = None
    actor: JsonObject | None = None
    data: JsonObject = Field(default_factory=dict[str, Json])
    hash: str | None = None
    previous_hash: str | None = None


class ParentView(BaseModel):
    """The run, and the visit of its step, that started this one. `depth` counts the runs above."""

    execution_id: UUID
    step_key: str
    visit: int
    depth: int
    mode: Literal["wait", "detach"]


class StuckView(BaseModel):
    since: datetime
    reason: str = Field(examples=["category=WorkflowTaskFailed"])


class RunView(BaseModel):
    """A run. `steps` and `timeline` are there when they were asked for with `include`."""

    execution_id: UUID
    status: RunStatus
    playbook_id: UUID
    playbook_name: str
    playbook_code: str
    playbook_version: int
    initiated_by: UUID
    initiated_by_name: str | None = None
    priority: Priority
    tags: list[str]
    correlation_id: str | None = None
    subject_entity_id: UUID | None = None
    accepted_at: datetime
    started_at: datetime | None = None
    completed_at: datetime | None = None
    total_steps: int
    completed_steps: int
    failed_steps: int
    skipped_steps: int
    open_incidents: int = 0
    current_step: CurrentStepView | None = None
    progress: ProgressView
    cost: float = Field(default=0.0, examples=[53.0])
    total_cost: float = Field(default=0.0, description="the same as `cost`")
    currency: str = "USD"
    input_data: Json = None
    output_data: Json = None
    execution_summary: ExecutionSummary | None = None
    error_details: StepErrorView | None = None
    pause: PauseView | None = None
    cancel_reason: str | None = None
    waiting_for: str | None = Field(
        default=None, examples=["concurrency"], description="`concurrency`: runs of the same key have to end first"
    )
    parent: ParentView | None = None
    stuck: StuckView | None = Field(default=None, description="its workflow cannot go on; a fixed worker heals it")
    revision: int = Field(description="rises with every change; the ETag")
    permissions: RunPermissions
    steps: list[StepView] | None = None
    timeline: list[EventView] | None = None


def money(amount: Decimal | float | int) -> float:
    """An amount as JSON has it: a number with at most four decimals."""
    return round(float(amount), 4)

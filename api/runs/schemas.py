"""Requests that start and control runs, and the schemas of runs (field names: section 6 of the contract)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, TypeAlias
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from api.execution.schemas import AttemptView, EventView, ExecutionContext, ExecutionOptions, StepErrorView
from api.http.lists import check_page
from api.http.schemas import Instant, PageQuery, Reason, RequestModel
from api.simulation.schemas import SimulateRequest, SimulationInputs
from playbooks.common.errors import InvalidActionError, NotSupportedError, Problem, ValidationError
from playbooks.common.ids import actor_id
from playbooks.common.values import Json, JsonObject, Priority, RunStatus, StepStatus, StepType
from playbooks.engine.model.control_messages import (
    FIELD_NAMES,
    LATER_VERBS,
    CompleteStep,
    FailStep,
    Pause,
    Resume,
    RetryStep,
    SkipStep,
    StepAction,
)
from storage.runs.lists import RunFilter

_ControlAction: TypeAlias = Pause | Resume | StepAction
_ACTIONS: Mapping[str, type[_ControlAction]] = {
    "pause": Pause,
    "resume": Resume,
    "retry_step": RetryStep,
    "skip_step": SkipStep,
    "complete_step": CompleteStep,
    "fail_step": FailStep,
}


class ExecuteRequest(RequestModel):
    """Starts a run. `input_data` must satisfy the playbook's input contract. `simulation` is for the mode of that name
    only."""

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
    simulation: SimulationInputs | None = None

    def to_simulation(self) -> SimulateRequest:
        """Return the same request for a simulation."""
        return SimulateRequest(
            input_data=self.input_data,
            execution_context=self.execution_context,
            execution_options=self.execution_options,
            simulation=self.simulation or SimulationInputs(),
        )


class ControlRequest(RequestModel):
    """Controls a run, or a step of it.

    `until` belongs to `pause`: the run resumes by itself at that instant. `step` (a key; of an item `key[3]`) belongs
    to the verbs about steps, `output` to `skip_step` and `complete_step`.
    """

    # `to_action` refuses fields by action, so that an action of a later release is NOT_SUPPORTED with any fields.
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

    def to_action(self) -> _ControlAction:
        """Return the action for the run.

        Raises InvalidActionError, NotSupportedError for an action of a later release, ValidationError for a field that
        the action does not have or lacks.
        """
        action = self._action_type()
        names = FIELD_NAMES[self.action]
        if "step" in names and self.step is None:
            message = f"'{self.action}' needs the step"
            raise ValidationError(message, [Problem(pointer="/step", code="REQUIRED", message=message)])
        sent = {*(self.model_extra or {}), *self.model_fields_set} - {"action"}
        message = f"'{self.action}' has no such field"
        unknown = [Problem(pointer=f"/{name}", code="UNKNOWN_FIELD", message=message) for name in sorted(sent - names)]
        if unknown:
            raise ValidationError(message, unknown)
        fields: dict[str, Any] = {name: getattr(self, name) for name in names}
        if self.until is not None:
            fields["until"] = self.until.isoformat()
        return action(**fields)

    def _action_type(self) -> type[_ControlAction]:
        if self.action in LATER_VERBS:
            message = f"'{self.action}' is not supported yet"
            raise NotSupportedError(message, (Problem(pointer="/action", code="NOT_SUPPORTED", message=message),))
        if self.action in _ACTIONS:
            return _ACTIONS[self.action]
        message = f"there is no action '{self.action}'; it has to be one of {', '.join(_ACTIONS)}"
        if self.action == "cancel":
            message = "a run is cancelled with DELETE"
        raise InvalidActionError(message, (Problem(pointer="/action", code="INVALID_ACTION", message=message),))


class SignalRequest(RequestModel):
    """A named message for the run's `signal_wait` steps. `payload` is any JSON."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "shipment_arrived", "payload": {"parcel": "1Z999"}}]}
    )

    name: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    payload: Json = None


class SignalAnswer(BaseModel):
    """The steps that received the message. `kept`: a step receives it later, or when the run resumes."""

    name: str
    delivered_to: list[str]
    kept: bool


class CancelRequest(RequestModel):
    """The optional body of a cancellation."""

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

    def to_filter(self, organization_id: UUID) -> RunFilter:
        """Return the filter of the rows. Raises ValidationError where a cursor and an offset are mixed."""
        check_page(self)
        return RunFilter(
            playbook_id=self.playbook_id,
            code=self.code,
            statuses=tuple(self.status),
            initiated_by=None if self.initiated_by is None else actor_id(organization_id, self.initiated_by),
            priority=self.priority,
            tag=self.tag,
            correlation_id=self.correlation_id,
            subject_entity_id=self.subject_entity_id,
            date_from=self.date_from,
            date_to=self.date_to,
            duration_gte=_duration(self.duration_gte),
            duration_lte=_duration(self.duration_lte),
            has_incident=self.has_incident,
            sort_by=self.sort_by,
            sort_direction=self.sort_direction,
            limit=self.limit,
            offset=self.offset,
            cursor=self.cursor,
        )


def _duration(amount_ms: float | None) -> timedelta | None:
    return None if amount_ms is None else timedelta(milliseconds=amount_ms)


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
    """The step that the run is at."""

    step_name: str
    step_key: str
    step_number: int
    status: StepStatus


class ProgressView(BaseModel):
    """Finished steps of all steps."""

    finished_steps: int
    total_steps: int
    percent: float = Field(examples=[60.0])


class ExecutionSummary(BaseModel):
    """Results of the run so far. Waiting for people is not counted as work."""

    performance_grade: str = Field(examples=["A+"])
    performance_score: float = Field(examples=[100.0])
    success_rate: float = Field(examples=[1.0], description="completed steps of those that completed or failed")
    cost: float = Field(examples=[53.0])
    total_cost: float = Field(examples=[53.0], description="the same as `cost`")
    currency: str = Field(examples=["USD"])
    duration_ms: int | None = None
    working_ms: int = 0
    waiting_ms: int = 0
    estimated_minutes: float = 0.0
    retries: int = 0


class RunPermissions(BaseModel):
    """What the caller may do with the run in its present status."""

    can_pause: bool
    can_resume: bool
    can_cancel: bool
    can_view_sensitive: bool


class PauseView(BaseModel):
    """The pause of a run: its cause, and since when."""

    since: datetime | None = None
    cause: str | None = Field(default=None, examples=["request", "budget"])
    reason: str | None = None
    until: datetime | None = None


class ParentView(BaseModel):
    """The run, and the visit of its step, that started this one. `depth` counts the runs above this one."""

    execution_id: UUID
    step_key: str
    visit: int
    depth: int
    mode: Literal["wait", "detach"]


class StuckView(BaseModel):
    """Since when the run's workflow cannot continue, and Temporal's reason."""

    since: datetime
    reason: str = Field(examples=["category=WorkflowTaskFailed"])


class RunView(BaseModel):
    """A run. `steps` and `timeline` are present if `include` names them."""

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
    stuck: StuckView | None = Field(default=None, description="its workflow waits for a corrected worker")
    revision: int = Field(description="rises with every change; the ETag")
    permissions: RunPermissions
    steps: list[StepView] | None = None
    timeline: list[EventView] | None = None

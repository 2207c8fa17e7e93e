"""Requests for simulations, and the schemas of their results."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from api.execution.schemas import AttemptView, EventView, ExecutionContext, ExecutionOptions, StepErrorView
from api.http.schemas import ProblemView, RequestModel
from api.simulation.inputs import SimulationInputs
from api.simulation.operations import SimulationParameters
from playbooks.common.errors import Problem, ValidationError
from playbooks.common.values import Json, JsonObject, StepStatus, StepType
from playbooks.simulation.outcome import Ending
from playbooks.simulation.workers import Source


class SimulateRequest(RequestModel):
    """Simulates a run of a version. Without `input_data` the smallest input that the contract allows is generated."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "input_data": {"amount": 120.0},
                    "execution_options": {"auto_approve_human_steps": True},
                    "simulation": {
                        "step_results": {
                            "call_bank": [{"error": {"kind": "network"}}, {"output": {"reference": "B-7"}}]
                        },
                        "decisions": {"approve": [{"decision": "approve", "by": "fred"}]},
                    },
                }
            ]
        },
    )

    input_data: JsonObject | None = None
    execution_context: ExecutionContext = Field(default_factory=ExecutionContext)
    execution_options: ExecutionOptions = Field(default_factory=ExecutionOptions)
    simulation: SimulationInputs = Field(default_factory=SimulationInputs)

    def to_parameters(self) -> SimulationParameters:
        """Return the run to simulate. Raises ValidationError for another execution mode."""
        options = self.execution_options
        if "execution_mode" in options.model_fields_set and options.execution_mode != "simulation":
            message = "this call only simulates: leave it out, or say simulation"
            problem = Problem(pointer="/execution_options/execution_mode", code="NOT_ALLOWED", message=message)
            raise ValidationError(message, (problem,))
        return SimulationParameters(
            input=self.input_data,
            given=self.simulation.to_given(approves_alone=options.auto_approve_human_steps),
            started_at=self.simulation.started_at,
            priority=self.execution_context.priority,
            variables=options.context_variables,
            max_retries=options.max_retries,
            timeout_minutes=options.timeout_minutes,
        )


class SimulatedStepView(BaseModel):
    """One visit of a step. `values` are those that its conditions read, `source` is what produced its output."""

    step_name: str
    step_key: str
    step_number: int
    visit: int
    status: StepStatus
    worker_type: str
    step_type: StepType
    source: Source | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    duration_ms: int | None = None
    input_data: Json = None
    output_data: Json = None
    values: JsonObject = Field(description="values that the step's conditions read, by path")
    retry_count: int = 0
    retry_history: list[AttemptView] = Field(default_factory=list[AttemptView])
    error: StepErrorView | None = None
    reason: str | None = None
    cost: float = 0.0
    confidence: float | None = None
    confidence_source: str | None = None


class SkippedStepView(BaseModel):
    """A skipped step, with the reason."""

    step_key: str
    reason: str | None = None
    values: JsonObject


class SimulatedDecisionView(BaseModel):
    """A person's decision, and the run's verdict. `is_given`: it was in the request."""

    step_key: str
    at: datetime
    by: str
    roles: list[str]
    decision: str
    data: Json = None
    is_given: bool
    outcome: str | None = Field(default=None, examples=["accepted", "refused"])
    code: str | None = Field(default=None, examples=["SELF_APPROVAL"])
    detail: str | None = None


class SimulatedMessageView(BaseModel):
    """A message to the run, and the run's verdict."""

    verb: str
    step_key: str | None = None
    signal: str | None = None
    at: datetime
    by: str
    outcome: str | None = None
    code: str | None = None
    detail: str | None = None


class WaitingView(BaseModel):
    """Who has to act before the run can continue."""

    kind: Literal["decision", "resume", "step"]
    reason: str
    step_key: str | None = None
    roles: list[str]
    approvals_required: int = 0
    approvals_received: int = 0
    due_at: datetime | None = None


class SimulationProblemView(ProblemView):
    """A limit of the simulation, or an input that it did not use. A pointer that begins with `/simulation` is into the
    request, any other one into the document."""

    severity: Literal["error", "warning"]


class EstimateView(BaseModel):
    """Duration: `elapsed_minutes` by the virtual clock (estimates, timers, retry delays, time windows), the others from
    `estimated_duration_minutes` alone."""

    elapsed_minutes: float
    critical_path_minutes: float
    critical_path: list[str]
    work_minutes: float
    steps_without_estimate: list[str]


class SimulationView(BaseModel):
    """The result of a simulation. Nothing was stored, sent or called."""

    simulated: Literal[True] = True
    status: Ending = Field(description="`waiting`, `paused` and `stopped`: the run did not end")
    playbook_id: UUID
    playbook_name: str
    playbook_code: str
    playbook_version: int
    started_at: datetime
    completed_at: datetime = Field(description="by the virtual clock")
    input_data: Json = None
    input_source: Literal["given", "generated"]
    output_data: Json = None
    error_details: StepErrorView | None = None
    path: list[str] = Field(description="keys of the steps that started, in that order, once for each visit")
    skipped: list[SkippedStepView]
    steps: list[SimulatedStepView]
    decisions: list[SimulatedDecisionView]
    messages: list[SimulatedMessageView]
    waiting_for: list[WaitingView]
    problems: list[SimulationProblemView]
    cost: float
    currency: str
    estimate: EstimateView
    events: list[EventView]
    events_received: int = Field(description="events that the run's state machine received, at most 10,000")

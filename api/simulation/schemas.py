"""Simulations: how they are asked for, and how what they came to is shown."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from api.http.schemas import ProblemView, RequestModel
from api.runs.schemas import AttemptView, EventView, ExecutionContext, ExecutionOptions, StepErrorView
from api.simulation.given_schemas import SimulationGiven
from playbooks.common.values import Json, JsonObject, StepStatus, StepType
from playbooks.simulation.outcome import Ending
from playbooks.simulation.workers import Source


class SimulateRequest(RequestModel):
    """Plays a version through without effects. Without `input_data` the least input that the contract allows."""

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
    simulation: SimulationGiven = Field(default_factory=SimulationGiven)


class SimulatedStepView(BaseModel):
    """One visit of a step. `values` are what its conditions read, `source` says what made its output."""

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
    values: JsonObject = Field(description="what the step's conditions read, by path")
    retry_count: int = 0
    retry_history: list[AttemptView] = Field(default_factory=list[AttemptView])
    error: StepErrorView | None = None
    reason: str | None = None
    cost: float = 0.0
    confidence: float | None = None
    confidence_source: str | None = None


class SkippedStepView(BaseModel):
    """A step that did not run, and why."""

    step_key: str
    reason: str | None = None
    values: JsonObject


class SimulatedDecisionView(BaseModel):
    """What a person said, and what the run answered. `is_given`: it was in the request."""

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
    """Something that the run was told from outside, and what it answered."""

    verb: str
    step_key: str | None = None
    signal: str | None = None
    at: datetime
    by: str
    outcome: str | None = None
    code: str | None = None
    detail: str | None = None


class WaitingView(BaseModel):
    """Who has to act before the run goes on."""

    kind: Literal["decision", "resume", "step"]
    reason: str
    step_key: str | None = None
    roles: list[str]
    approvals_required: int = 0
    approvals_received: int = 0
    due_at: datetime | None = None


class SimulationProblemView(ProblemView):
    """What the simulation could not do, or was given in vain. A pointer that begins with `/simulation` goes into the
    request, any other one into the document."""

    severity: Literal["error", "warning"]


class EstimateView(BaseModel):
    """How long it takes: `elapsed_minutes` by the virtual clock (estimates, timers, delays of retries, windows), the
    rest by `estimated_duration_minutes` alone."""

    elapsed_minutes: float
    critical_path_minutes: float
    critical_path: list[str]
    work_minutes: float
    steps_without_estimate: list[str]


class SimulationView(BaseModel):
    """A simulation. Nothing was stored, nobody was told, nothing was called."""

    simulated: Literal[True] = True
    status: Ending = Field(description="`waiting`, `paused` and `stopped` say why it did not end")
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
    path: list[str] = Field(description="keys of the steps that began, in that order; again for each visit")
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
    events_received: int = Field(description="events that the run's machine received, at most 10,000")

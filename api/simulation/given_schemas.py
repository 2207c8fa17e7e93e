"""What a simulation is given: results of attempts, people's decisions, and messages from outside."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from api.http.schemas import Instant, RequestModel
from playbooks.common.values import ErrorKind, Json, JsonObject
from playbooks.engine.model.state import Choice

MAX_STEPS = 500
MAX_MINUTES = 60 * 24 * 366

_Name = Annotated[str, StringConstraints(min_length=1, max_length=255)]
_Text = Annotated[str, StringConstraints(max_length=2000)]
_Minutes = Annotated[float, Field(ge=0, le=MAX_MINUTES)]


class SimulatedErrorRequest(RequestModel):
    """How an attempt fails. `kind` decides whether it is made again, as in a run."""

    kind: ErrorKind
    message: _Text = "the simulation says so"
    retry_after_ms: int | None = Field(default=None, ge=0, le=86_400_000)


class StepResultRequest(RequestModel):
    """What one attempt comes to: `output`, or `error`. Without `duration_ms` it takes the step's estimate."""

    output: Json = None
    error: SimulatedErrorRequest | None = None
    cost: Decimal | None = Field(default=None, ge=0, le=1_000_000_000)
    confidence: float | None = Field(default=None, ge=0, le=1)
    duration_ms: int | None = Field(default=None, ge=0, le=MAX_MINUTES * 60_000)

    @model_validator(mode="after")
    def _is_one(self) -> StepResultRequest:
        if ("output" in self.model_fields_set) == (self.error is not None):
            raise PydanticCustomError("one_of", "an attempt has an output, or an error")
        return self


class DecisionRequest(RequestModel):
    """What one person says. Without `by` it is somebody new, without `roles` somebody who has those of the task; an
    approval without `data` gets the least form that the step's contract allows."""

    decision: Choice
    by: _Name | None = Field(default=None, description="a person's id or the token's `sub`")
    roles: list[_Name] | None = Field(default=None, max_length=50)
    comment: _Text | None = None
    data: JsonObject | None = None
    after_minutes: _Minutes | None = Field(default=None, description="from the task's opening; else the estimate")


class MessageRequest(RequestModel):
    """What somebody tells the run from outside: a signal, a cancel, what becomes of a step. `body` holds the fields of
    the verb, as in a message to a run: `step`, `reason`, `output`; a signal's `name` and `payload`."""

    verb: Annotated[str, StringConstraints(max_length=64)]
    after_minutes: _Minutes = Field(description="from the start of the run")
    body: JsonObject = Field(default_factory=dict[str, Json])
    by: _Name | None = None
    roles: list[_Name] = Field(default_factory=list[str], max_length=50)


class SimulationGiven(RequestModel):
    """What stands in for workers and people, by step key: successive attempts (the last answers all that follow) and
    successive decisions; and what comes from outside. `started_at` is where the virtual clock begins."""

    step_results: dict[str, Annotated[list[StepResultRequest], Field(min_length=1, max_length=1_000)]] = Field(
        default_factory=dict[str, list[StepResultRequest]], max_length=MAX_STEPS
    )
    decisions: dict[str, Annotated[list[DecisionRequest], Field(max_length=1_000)]] = Field(
        default_factory=dict[str, list[DecisionRequest]], max_length=MAX_STEPS
    )
    messages: Annotated[list[MessageRequest], Field(max_length=1_000)] = Field(default_factory=list[MessageRequest])
    started_at: Instant | None = None

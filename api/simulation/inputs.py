"""Inputs of a simulation: results of attempts, people's decisions, and messages to the run."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Annotated

from pydantic import Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from api.http.schemas import Instant, RequestModel
from playbooks.common.values import MAX_RETRY_AFTER_MS, ErrorKind, Json, JsonObject, StepError
from playbooks.engine.model.control_messages import Choice, read_message
from playbooks.simulation.given import SIMULATED_ERROR, Given, GivenAttempt, GivenMessage, GivenVote

MAX_STEPS = 500
MAX_MINUTES = 60 * 24 * 366

_Name = Annotated[str, StringConstraints(min_length=1, max_length=255)]
_Text = Annotated[str, StringConstraints(max_length=2000)]
_Minutes = Annotated[float, Field(ge=0, le=MAX_MINUTES)]


class SimulatedErrorRequest(RequestModel):
    """How an attempt fails. `kind` decides whether it is retried, as in a run."""

    kind: ErrorKind
    message: _Text = "the simulation says so"
    retry_after_ms: int | None = Field(default=None, ge=0, le=MAX_RETRY_AFTER_MS)


class StepResultRequest(RequestModel):
    """The result of one attempt: `output` or `error`. Without `duration_ms` it takes the step's estimate."""

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


class SimulatedDecisionRequest(RequestModel):
    """One person's decision. Without `by` it is a new person, without `roles` one who has the roles of the task; an
    approval without `data` gets the smallest form that the step's contract allows."""

    decision: Choice
    by: _Name | None = Field(default=None, description="a person's id or the token's `sub`")
    roles: list[_Name] | None = Field(default=None, max_length=50)
    comment: _Text | None = None
    data: JsonObject | None = None
    after_minutes: _Minutes | None = Field(default=None, description="from the task's opening; else the estimate")


class MessageRequest(RequestModel):
    """A message to the run: a signal, a cancellation, a verb about a step. `body` holds the fields of the verb, as in a
    message to a real run: `step`, `reason`, `output`; a signal's `name` and `payload`."""

    verb: Annotated[str, StringConstraints(max_length=64)]
    after_minutes: _Minutes = Field(description="from the start of the run")
    body: JsonObject = Field(default_factory=dict[str, Json])
    by: _Name | None = None
    roles: list[_Name] = Field(default_factory=list[str], max_length=50)


class SimulationInputs(RequestModel):
    """Replaces workers and people: by step key the results of successive attempts (the last one is repeated) and the
    successive decisions; and the messages to the run. The virtual clock begins at `started_at`."""

    step_results: dict[str, Annotated[list[StepResultRequest], Field(min_length=1, max_length=1_000)]] = Field(
        default_factory=dict[str, list[StepResultRequest]], max_length=MAX_STEPS
    )
    decisions: dict[str, Annotated[list[SimulatedDecisionRequest], Field(max_length=1_000)]] = Field(
        default_factory=dict[str, list[SimulatedDecisionRequest]], max_length=MAX_STEPS
    )
    messages: Annotated[list[MessageRequest], Field(max_length=1_000)] = Field(default_factory=list[MessageRequest])
    started_at: Instant | None = None

    def to_given(self, *, approves_alone: bool) -> Given:
        """Return the inputs as the simulation takes them. `approves_alone`: tasks without a decision are approved."""
        return Given(
            attempts={key: tuple(map(_attempt, items)) for key, items in self.step_results.items()},
            votes={key: tuple(map(_vote, items)) for key, items in self.decisions.items()},
            messages=tuple(map(_message, self.messages)),
            approves_alone=approves_alone,
        )


def _attempt(item: StepResultRequest) -> GivenAttempt:
    error = item.error
    return GivenAttempt(
        output=item.output,
        error=None
        if error is None
        else StepError(
            kind=error.kind, code=SIMULATED_ERROR, message=error.message, retry_after_ms=error.retry_after_ms
        ),
        cost=item.cost,
        confidence=item.confidence,
        duration=None if item.duration_ms is None else timedelta(milliseconds=item.duration_ms),
    )


def _vote(item: SimulatedDecisionRequest) -> GivenVote:
    return GivenVote(
        choice=item.decision,
        by=item.by,
        roles=None if item.roles is None else tuple(item.roles),
        comment=item.comment,
        data=item.data,
        after=None if item.after_minutes is None else timedelta(minutes=item.after_minutes),
    )


def _message(item: MessageRequest) -> GivenMessage:
    return GivenMessage(
        message=read_message(item.verb, [item.body]),
        after=timedelta(minutes=item.after_minutes),
        by=item.by,
        roles=tuple(item.roles),
    )

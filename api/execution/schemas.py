"""Execution options, attempts and audit events: the schemas that runs and simulations share."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, Field, StringConstraints

from api.http.schemas import RequestModel
from playbooks.common.values import Json, JsonObject, Priority

Tag = Annotated[str, StringConstraints(min_length=1, max_length=64, pattern=r"^\S(.*\S)?$")]
ShortText = Annotated[str, StringConstraints(min_length=1, max_length=255)]


class ExecutionContext(RequestModel):
    """The subject of the run. Tags and priority are labels of the run, the ids are columns of its row."""

    priority: Priority = "normal"
    tags: list[Tag] = Field(default_factory=list[Tag], max_length=20)
    correlation_id: ShortText | None = None
    subject_entity_id: UUID | None = None


class NotificationChannel(RequestModel):
    """A channel with its address. A plain string stands for the organization's address of that channel."""

    type: ShortText
    address: ShortText | None = None
    enabled: bool = True


class RunNotificationSettings(RequestModel):
    """Whom to notify when the run has ended."""

    on_completion: bool = False
    notification_channels: list[ShortText | NotificationChannel] = Field(
        default_factory=list[ShortText | NotificationChannel], max_length=20
    )


class ExecutionOptions(RequestModel):
    """How the run is executed. `max_retries` and `timeout_minutes` replace those of the playbook's policies;
    `auto_approve_human_steps` is allowed in `simulation` only."""

    max_retries: int | None = Field(default=None, ge=0, le=100)
    timeout_minutes: float | None = Field(default=None, gt=0, le=5_256_000)
    notification_settings: RunNotificationSettings | None = None
    context_variables: JsonObject = Field(default_factory=dict[str, Json])
    execution_mode: Literal["standard", "debug", "simulation"] = "standard"
    auto_approve_human_steps: bool = False


class StepErrorView(BaseModel):
    """An error of a run, step or attempt. Branch on `kind` and `code`."""

    kind: str = Field(examples=["timeout"])
    code: str = Field(examples=["ATTEMPT_TIMEOUT"])
    message: str
    pointer: str | None = None


class AttemptView(BaseModel):
    """One attempt at a step. `lost` counts workers that disappeared during it; these are not attempts."""

    attempt: int
    started_at: datetime
    completed_at: datetime | None = None
    error: StepErrorView | None = None
    lost: int = 0


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

"""The life cycle of a version: what asks for a transition, and how transitions are shown."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from api.http.schemas import Instant, ProblemView, RequestModel
from api.playbooks.schemas import PlaybookView, ValidationReport
from api.runs.schemas import Reason
from playbooks.common.values import JsonObject
from playbooks.lifecycle.side_effects import EffectKind

ProblemCode = Annotated[str, StringConstraints(min_length=1, max_length=64)]
TransitionState = Literal["scheduled", "in_progress", "completed", "failed", "cancelled"]


class PublishNotificationSettings(RequestModel):
    """Whom to tell about a transition."""

    notify_users: bool = False
    notification_message: Reason | None = None


class ValidationOverride(RequestModel):
    """A warning that whoever publishes takes on; without a pointer every warning of that code."""

    code: ProblemCode
    pointer: str | None = Field(default=None, max_length=1000, examples=["/steps/2/condition"])
    reason: Reason | None = None


def _spelled_out(value: Any) -> Any:
    return {"code": value} if isinstance(value, str) else value


OverrideItem = Annotated[
    ValidationOverride, BeforeValidator(_spelled_out, json_schema_input_type=ProblemCode | ValidationOverride)
]
"""A bare code stands for an override of all warnings of that code."""


class TransitionRequest(RequestModel):
    """A step of the life cycle. An `effective_date` in the future schedules it; one in the past means now.

    `on_live_runs` belongs to `archive`, `validation_overrides` to `publish`.
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "action": "publish",
                    "reason": "Initial release ready for production use",
                    "effective_date": "2025-01-15T10:00:00Z",
                    "notification_settings": {
                        "notify_users": True,
                        "notification_message": "New playbook version available",
                    },
                    "validation_overrides": [
                        "NOT_EVALUATED",
                        {"code": "GROUP_SPLIT", "pointer": "/steps/3/parallel_group", "reason": "meant so"},
                    ],
                },
                {"action": "archive", "reason": "replaced by version 2", "on_live_runs": "cancel"},
            ]
        },
    )

    action: str = Field(max_length=64, examples=["publish", "deprecate", "reactivate", "archive", "delete"])
    reason: Reason | None = None
    effective_date: Instant | None = None
    notification_settings: PublishNotificationSettings | None = None
    on_live_runs: Literal["refuse", "cancel"] | None = None
    validation_overrides: list[OverrideItem] | None = Field(default=None, max_length=50)


class CancelScheduledRequest(RequestModel):
    """Why a scheduled transition is cancelled."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"reason": "the law comes later"}]})

    reason: Reason | None = None


class SideEffectView(BaseModel):
    """One thing that a transition touches besides the version; which fields are there depends on the kind."""

    kind: EffectKind
    message: str
    count: int | None = None
    version: int | None = None
    playbook_id: UUID | None = None
    transition_id: UUID | None = None


class TransitionView(BaseModel):
    """One transition: made, scheduled, refused when it was due, or cancelled.

    `at` is when it took place (refused, cancelled), or is due. `in_progress`: it took place, and not all runs that it
    cancels are over yet.
    """

    transition_id: UUID
    status: TransitionState
    action: str
    from_status: str
    to_status: str
    actor: JsonObject | None = None
    reason: str | None = None
    at: datetime | None = None
    requested_at: datetime | None = None
    effective_date: datetime | None = None
    on_live_runs: str | None = None
    validation_overrides: list[JsonObject] = Field(
        default_factory=list[JsonObject], description="what was asked to be overridden"
    )
    overridden: list[JsonObject] = Field(
        default_factory=list[JsonObject], description="the warnings that were overridden, with the reason"
    )
    side_effects: list[JsonObject] = Field(default_factory=list[JsonObject])
    live_runs: int | None = Field(default=None, description="how many runs were live when it took place")
    error: JsonObject | None = Field(default=None, description="of a failed one: code and detail")
    problems: list[JsonObject] = Field(default_factory=list[JsonObject], description="of a failed one")
    cancelled: JsonObject | None = Field(default=None, description="of a cancelled one: by whom and why")
    is_current: bool | None = Field(
        default=None, description="of a scheduled publication: whether the draft is still the one that was scheduled"
    )


class ForbiddenAction(BaseModel):
    """An action that the version's status allows and the token does not."""

    action: str
    permission: str = Field(examples=["playbooks:admin"])


class PublicationView(BaseModel):
    """Where a version stands, what may be done with it, what will happen, and what happened so far."""

    playbook: PlaybookView
    allowed_actions: list[str]
    forbidden_actions: list[ForbiddenAction]
    validation: ValidationReport
    strict_publication: bool
    live_runs: int
    scheduled: list[TransitionView]
    history: list[TransitionView]


class CancelledRuns(BaseModel):
    """What became of the live runs of an archived version. All of them are cancelled, those pending a little later."""

    count: int = Field(description="live runs when the version was archived")
    cancelled: int = Field(description="had not started, and are cancelled")
    asked: int = Field(description="were told, and end as soon as a worker has the time")
    pending: int = Field(description="could not be told yet; it is tried until they are over")


class TransitionAnswer(BaseModel):
    """The version after the transition, what else it touched, and the warnings that did not refuse it."""

    playbook: PlaybookView
    transition: TransitionView
    warnings: list[ProblemView]
    side_effects: list[SideEffectView]
    cancelled_runs: CancelledRuns | None = None

"""Requests for transitions of a version, and the schemas of transitions."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, cast
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from api.http.schemas import Instant, ProblemView, Reason, RequestModel
from api.playbooks.schemas import PlaybookView, ValidationReport
from playbooks.common.errors import Problem, ValidationError
from playbooks.common.values import Actor, JsonObject
from playbooks.lifecycle.overrides import Override
from playbooks.lifecycle.side_effects import EffectKind
from playbooks.lifecycle.transitions import PERMISSIONS, Action, next_status
from storage.playbooks import transitions

ProblemCode = Annotated[str, StringConstraints(min_length=1, max_length=64)]
TransitionState = Literal["scheduled", "in_progress", "completed", "failed", "cancelled"]


class PublishNotificationSettings(RequestModel):
    """Whom to notify about a transition."""

    notify_users: bool = False
    notification_message: Reason | None = None


class ValidationOverride(RequestModel):
    """A warning that the publisher accepts; without a pointer all warnings of that code."""

    code: ProblemCode
    pointer: str | None = Field(default=None, max_length=1000, examples=["/steps/2/condition"])
    reason: Reason | None = None


def _as_object(value: Any) -> Any:
    return {"code": value} if isinstance(value, str) else value


OverrideItem = Annotated[
    ValidationOverride, BeforeValidator(_as_object, json_schema_input_type=ProblemCode | ValidationOverride)
]
"""A bare code stands for an override of all warnings of that code."""


class TransitionRequest(RequestModel):
    """A transition of the version. An `effective_date` in the future schedules it; one in the past means now.

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

    def to_transition(self, actor: Actor) -> transitions.TransitionRequest:
        """Return the transition that this person requests. Raises InvalidActionError, ValidationError."""
        if self.action not in PERMISSIONS:
            next_status("draft", self.action)  # raises: no status has such an action
        self._refuse_misplaced()
        settings = self.notification_settings
        overrides = self.validation_overrides or []
        return transitions.TransitionRequest(
            action=cast("Action", self.action),
            actor=actor,
            reason=self.reason,
            effective_date=self.effective_date,
            overrides=tuple(Override(code=each.code, pointer=each.pointer, reason=each.reason) for each in overrides),
            cancels_runs=self.on_live_runs == "cancel",
            notification=None if settings is None else settings.model_dump(mode="json", exclude_none=True),
        )

    def _refuse_misplaced(self) -> None:
        problems: list[Problem] = []
        if self.on_live_runs is not None and self.action != "archive":
            message = "only 'archive' takes on_live_runs"
            problems.append(Problem(pointer="/on_live_runs", code="NOT_ALLOWED", message=message))
        if self.validation_overrides and self.action != "publish":
            message = "only 'publish' has warnings to override"
            problems.append(Problem(pointer="/validation_overrides", code="NOT_ALLOWED", message=message))
        if problems:
            raise ValidationError(problems[0].message, problems)


class CancelScheduledRequest(RequestModel):
    """Why a scheduled transition is cancelled."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"reason": "the law comes later"}]})

    reason: Reason | None = None


class SideEffectView(BaseModel):
    """One effect of a transition on something besides the version; the kind decides which fields are present."""

    kind: EffectKind
    message: str
    count: int | None = None
    version: int | None = None
    playbook_id: UUID | None = None
    transition_id: UUID | None = None


class TransitionView(BaseModel):
    """One transition: completed, scheduled, failed when it was due, or cancelled.

    `at` is when it took place (failed, was cancelled), or is due. `in_progress`: it took place, and some of the runs
    that it cancels have not ended yet.
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
        default_factory=list[JsonObject], description="the overrides of the request"
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
    """An action that the version's status allows, but the token's permissions do not."""

    action: str
    permission: str = Field(examples=["playbooks:admin"])


class PublicationView(BaseModel):
    """The status of a version: allowed actions, scheduled transitions, and the history."""

    playbook: PlaybookView
    allowed_actions: list[str]
    forbidden_actions: list[ForbiddenAction]
    validation: ValidationReport
    strict_publication: bool
    live_runs: int
    scheduled: list[TransitionView]
    history: list[TransitionView]


class CancelledRuns(BaseModel):
    """The live runs of an archived version. All of them are cancelled, the pending ones later."""

    count: int = Field(description="live runs when the version was archived")
    cancelled: int = Field(description="had not started and are cancelled")
    asked: int = Field(description="received the cancellation, and end when a worker processes it")
    pending: int = Field(description="have not received it yet; it is sent again until they end")


class TransitionAnswer(BaseModel):
    """The version after the transition, its side effects, and the warnings that did not prevent it."""

    playbook: PlaybookView
    transition: TransitionView
    warnings: list[ProblemView]
    side_effects: list[SideEffectView]
    cancelled_runs: CancelledRuns | None = None

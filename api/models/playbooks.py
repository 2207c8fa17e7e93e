"""Playbooks: life-cycle requests, and how versions are shown. The document itself is `PlaybookDocument`."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from api.models.common import Instant, PageQuery, ProblemView, RequestModel
from api.models.runs import Reason
from playbooks.values import JsonObject

PlaybookStatus = Literal["draft", "active", "deprecated", "deleted"]


class PlaybookListQuery(PageQuery):
    """Filters of the list of playbook versions."""

    code: str | None = Field(default=None, max_length=64)
    status: PlaybookStatus | None = None
    industry: str | None = Field(default=None, max_length=30)
    module: str | None = Field(default=None, max_length=100)
    search: str | None = Field(default=None, max_length=100, description="part of the name or code")


class PublishNotificationSettings(RequestModel):
    """Whom to tell about a transition."""

    notify_users: bool = False
    notification_message: Reason | None = None


class TransitionRequest(RequestModel):
    """A step of the life cycle. An `effective_date` in the past means now."""

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
                }
            ]
        },
    )

    action: str = Field(max_length=64, examples=["publish", "deprecate", "reactivate", "archive"])
    reason: Reason | None = None
    effective_date: Instant | None = None
    notification_settings: PublishNotificationSettings | None = None
    on_live_runs: Literal["refuse", "cancel"] | None = None
    validation_overrides: list[str] | None = Field(default=None, max_length=50)


class StepSummary(BaseModel):
    """A step of a version, in one line."""

    step_id: UUID
    key: str
    name: str
    step_number: int
    step_type: str
    worker_type: str
    depends_on: list[str]


class PlaybookView(BaseModel):
    """One version of a playbook. `document` is what its author wrote."""

    id: UUID
    playbook_id: UUID
    code: str
    name: str
    description: str | None = None
    industry: str
    module: str | None = None
    version: int
    status: PlaybookStatus
    revision: int
    smart_code: str
    total_steps: int
    created_by: UUID | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    document: JsonObject | None = None
    validation: ValidationReport | None = None
    versions: list[PlaybookView] | None = None


class ValidationReport(BaseModel):
    """What publishing would say. Errors refuse, warnings inform."""

    is_valid: bool
    errors: list[ProblemView]
    warnings: list[ProblemView]
    steps: list[StepSummary] = Field(default_factory=list[StepSummary])


class TransitionView(BaseModel):
    """One recorded transition."""

    action: str
    from_status: str
    to_status: str
    actor: JsonObject | None = None
    reason: str | None = None
    at: datetime | None = None
    effective_date: datetime | None = None


class PublicationView(BaseModel):
    """Where a version stands, what may be done with it, and what happened so far."""

    playbook: PlaybookView
    allowed_actions: list[str]
    validation: ValidationReport
    history: list[TransitionView]


class TransitionAnswer(BaseModel):
    """The version after the transition, and the warnings that did not refuse it."""

    playbook: PlaybookView
    warnings: list[ProblemView]


PlaybookView.model_rebuild()

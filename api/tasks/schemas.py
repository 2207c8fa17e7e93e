"""Tasks: the approver's inbox and what a person does there."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from api.http.schemas import PageQuery, RequestModel
from playbooks.common.values import Json, JsonObject

Decision = Literal["approve", "reject", "abstain", "request_changes"]


class DecisionRequest(RequestModel):
    """One person's answer. `data` is the form; approving requires it to satisfy the step's contract."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"decision": "approve", "comment": "sound budget", "data": {"score": 88, "notes": "good"}}]
        },
    )

    decision: Decision
    comment: Annotated[str, StringConstraints(max_length=4000)] | None = None
    data: JsonObject | None = None
    attachments: list[Annotated[str, StringConstraints(min_length=1, max_length=1000)]] = Field(
        default_factory=list[str], max_length=50
    )


class TaskListQuery(PageQuery):
    """Filters of the inbox. `mine` asks for tasks that the caller's roles may decide."""

    state: Literal["open", "claimed", "completed", "cancelled", "closed", "all"] = Field(
        default="open", description="`open` includes claimed ones; `closed` is completed or cancelled"
    )
    role: str | None = Field(default=None, max_length=100)
    execution_id: UUID | None = None
    mine: bool = False
    claimed_by_me: bool = False


class PersonView(BaseModel):
    """Somebody who acted."""

    id: UUID
    name: str | None = None


class VoteView(BaseModel):
    """One person's decision."""

    actor: PersonView | None = None
    decision: str
    at: datetime | None = None
    comment: str | None = None
    data: Json = None
    attachments: list[str] = Field(default_factory=list[str])


class TaskView(BaseModel):
    """What a person sees of a human step. `form` is the JSON Schema that approving data must satisfy."""

    task_id: UUID
    execution_id: UUID
    playbook_id: UUID
    step_key: str
    step_name: str
    title: str
    description: str | None = None
    input_data: Json = None
    form: JsonObject | None = None
    required_roles: list[str]
    opened_at: datetime | None = None
    due_at: datetime | None = None
    closed_at: datetime | None = None
    state: str = Field(examples=["open"])
    decision: str | None = None
    approvals_required: int
    approvals_received: int
    max_voters: int
    is_review: bool = False
    escalated: bool = False
    claimed_by: PersonView | None = None
    claimed_at: datetime | None = None
    votes: list[VoteView] = Field(default_factory=list[VoteView])


class VerdictView(BaseModel):
    """How the run answered. `kept`: checked, and takes effect when the run goes on."""

    outcome: Literal["accepted", "kept"]
    detail: str | None = None
    data: JsonObject | None = None


class TaskAnswer(BaseModel):
    """The verdict, and the task as it stands now."""

    verdict: VerdictView
    task: TaskView


class TicketView(BaseModel):
    """A short-lived proof of identity for one task, to be carried by a Temporal client's message."""

    ticket: str
    expires_at: datetime
    task_id: UUID
    workflow_id: str

"""Requests about tasks, and the schemas of tasks."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from api.http.lists import check_page
from api.http.schemas import PageQuery, RequestModel
from api.http.security import Principal
from playbooks.common.values import Json, JsonObject
from storage.runs.task_rows import TaskFilter, TaskStatus

Decision = Literal["approve", "reject", "abstain", "request_changes"]
_STATES: Mapping[str, tuple[TaskStatus, ...]] = {
    "open": ("open", "claimed"),
    "claimed": ("claimed",),
    "completed": ("completed",),
    "cancelled": ("cancelled",),
    "closed": ("completed", "cancelled"),
    "all": (),
}


class DecisionRequest(RequestModel):
    """One person's decision. `data` is the form; an approval needs data that satisfies the step's contract."""

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
    """Filters of the list of tasks. `mine` selects tasks that the caller's roles may decide."""

    state: Literal["open", "claimed", "completed", "cancelled", "closed", "all"] = Field(
        default="open", description="`open` includes claimed ones; `closed` is completed or cancelled"
    )
    role: str | None = Field(default=None, max_length=100)
    execution_id: UUID | None = None
    mine: bool = False
    claimed_by_me: bool = False

    def to_filter(self, principal: Principal) -> TaskFilter | None:
        """Return the filter of the rows, or None where no task can match.

        Without `runs:read` the caller sees tasks of the own roles only. Raises ValidationError where a cursor and an
        offset are mixed.
        """
        check_page(self)
        roles = () if self.role is None else (self.role,)
        if self.mine or not principal.may("runs:read"):
            own = principal.actor.roles
            roles = tuple(role for role in own if role in (roles or own))
            if not roles:
                return None
        return TaskFilter(
            states=_STATES[self.state],
            roles=roles,
            execution_id=self.execution_id,
            claimed_by=principal.actor.id if self.claimed_by_me else None,
            limit=self.limit,
            offset=self.offset,
            cursor=self.cursor,
        )


class PersonView(BaseModel):
    """A person."""

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
    """The task of a human step. `form` is the JSON Schema that the data of an approval must satisfy."""

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
    """The run's verdict. `kept`: checked, and takes effect when the run resumes."""

    outcome: Literal["accepted", "kept"]
    detail: str | None = None
    data: JsonObject | None = None


class TaskAnswer(BaseModel):
    """The verdict, and the task after it."""

    verdict: VerdictView
    task: TaskView


class TicketView(BaseModel):
    """A short-lived proof of identity for one task, for the message of a Temporal client."""

    ticket: str
    expires_at: datetime
    task_id: UUID
    workflow_id: str

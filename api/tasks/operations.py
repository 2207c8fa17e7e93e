"""Tasks of people: list, read, claim, release, decide, and the ticket for doing it through Temporal.

The engine decides who may do what, on every path alike.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import assert_never
from uuid import UUID, uuid5

from api.context import RequestContext
from api.http.polling import PROJECTION_SECONDS, poll
from playbooks.common.errors import TaskClosedError
from playbooks.common.ids import workflow_id
from playbooks.common.values import Verdict
from playbooks.engine.model.control_messages import Claim, Decide, PersonAction, Release
from runtime.signed_messages import TICKET_LIFETIME, issue_ticket
from storage.database import json_columns
from storage.database.pages import Page
from storage.runs import task_rows
from storage.runs.task_rows import TaskFilter, TaskRow


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdatedTask:
    """The run's verdict, and the task after it."""

    verdict: Verdict
    row: TaskRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """A proof of identity for one task, valid until `expires_at`."""

    text: str
    expires_at: datetime
    workflow_id: str


async def list_tasks(context: RequestContext, filters: TaskFilter | None, limit: int) -> Page[TaskRow]:
    """Return one page of tasks; an empty one without a filter."""
    if filters is None:
        return Page(items=(), total=0, total_is_exact=True, limit=limit, offset=0, has_more=False, next_cursor=None)
    async with context.reading() as session:
        return await task_rows.list_tasks(session, filters)


async def read_task(context: RequestContext, task_id: UUID) -> TaskRow:
    """Return the task's row. Raises NotFoundError, also for another organization's task."""
    async with context.reading() as session:
        return await task_rows.get_task(session, task_id)


async def update_task(context: RequestContext, task_id: UUID, action: PersonAction, key: str | None) -> UpdatedTask:
    """Send a person's verb to the task's run and wait for the verdict.

    Raises NotFoundError, TaskClosedError, AlreadyDecidedError, SelfApprovalError, NotEligibleError, ContractError,
    UnavailableError.
    """
    principal = context.principal
    before = await _read_task_as_person(context, task_id)
    verdict = await context.services.workflows.update(
        principal.organization_id,
        before.execution_id,
        replace(action, task_id=task_id),
        principal.actor,
        update_id=None if key is None else str(uuid5(task_id, f"{action.verb}:{principal.actor.id}:{key}")),
    )
    if verdict is None:
        raise TaskClosedError("the run of this task has ended")
    if verdict.outcome == "kept":
        return UpdatedTask(verdict=verdict, row=before)

    def is_projected(row: TaskRow) -> bool:
        return _has_effect(row, before, action, principal.actor.id)

    row, _ = await poll(lambda: read_task(context, task_id), is_projected, PROJECTION_SECONDS)
    return UpdatedTask(verdict=verdict, row=row)


async def issue_task_ticket(context: RequestContext, task_id: UUID) -> Ticket:
    """Issue a ticket with which this person may act on this task through a Temporal client.

    Raises NotFoundError, TaskClosedError. The ticket proves identity only: the engine checks the person's rights when
    it is used.
    """
    organization_id = context.principal.organization_id
    row = await _read_task_as_person(context, task_id)
    if row.state not in ("open", "claimed"):
        raise TaskClosedError("the task is closed")
    text = issue_ticket(
        context.services.settings.signing_key,
        task_id=task_id,
        execution_id=row.execution_id,
        organization_id=organization_id,
        actor=context.principal.actor,
    )
    return Ticket(
        text=text,
        expires_at=datetime.now(UTC) + TICKET_LIFETIME,
        workflow_id=workflow_id(organization_id, row.execution_id),
    )


async def _read_task_as_person(context: RequestContext, task_id: UUID) -> TaskRow:
    # A write transaction, because it inserts the person's entity where it is missing: the run's audit trail will name
    # the person, and rows refer to that entity.
    async with context.writing() as session:
        return await task_rows.get_task(session, task_id)


def _has_effect(row: TaskRow, before: TaskRow, action: PersonAction, person: UUID) -> bool:
    """Return whether the task's row has the effect of an accepted verb."""
    is_mine = row.claimant is not None and row.claimant.id == person
    match action:
        case Decide():
            return any(json_columns.as_object(vote.get("actor")).get("id") == str(person) for vote in row.votes)
        case Claim():
            # Where several people decide, the first claimant stays; a repeated claim is accepted without effect.
            return is_mine or row.seq > before.seq
        case Release():
            return not is_mine
        case _:
            assert_never(action)

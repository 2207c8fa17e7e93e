"""What a person does to a task: claim, release, decide; and the ticket for doing it through Temporal.

Owns the way from a task to its run. Who may do what is the machine's to decide, on every path alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID, uuid5

from api.http.polling import until
from api.http.problems import error_of_code
from api.http.security import Principal
from api.runs.control import SHOWN_WITHIN_SECONDS
from api.services import Services
from api.tasks.schemas import DecisionRequest
from playbooks.common.errors import TaskClosedError
from playbooks.common.ids import workflow_id
from playbooks.common.values import JsonObject, Verdict
from runtime.signed_messages import TICKET_LIFETIME, issue_ticket
from storage.database import json_columns
from storage.runs import task_rows
from storage.runs.task_rows import TaskRow


@dataclass(frozen=True, slots=True, kw_only=True)
class ActedOn:
    """The run's verdict, and the task as it stands after it."""

    verdict: Verdict
    row: TaskRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """A proof of identity for one task, valid until `expires_at`."""

    text: str
    expires_at: datetime
    workflow_id: str


async def decide(
    services: Services, principal: Principal, task_id: UUID, request: DecisionRequest, key: str | None
) -> ActedOn:
    """Give this person's answer.

    Raises NotFoundError, TaskClosedError, AlreadyDecidedError, SelfApprovalError, NotEligibleError, ContractError,
    UnavailableError.
    """
    return await act(
        services, principal, task_id, "decide", fields=request.model_dump(mode="json", exclude_none=True), key=key
    )


async def act(
    services: Services, principal: Principal, task_id: UUID, verb: str, *, fields: JsonObject, key: str | None
) -> ActedOn:
    """Give a task's run a person's verb (`claim`, `release`, `decide`) and wait for the verdict."""
    before = await _known_task(services, principal, task_id)
    verdict = await services.runs.update(
        principal.organization_id,
        before.execution_id,
        verb,
        {"task_id": str(task_id), **fields},
        principal.actor,
        update_id=None if key is None else str(uuid5(task_id, f"{verb}:{principal.actor.id}:{key}")),
    )
    if verdict is None:
        raise TaskClosedError("the run of this task has ended")
    if verdict.outcome == "refused":
        raise error_of_code(verdict.code, verdict.detail or "the run refused it", verdict.errors)

    async def read() -> TaskRow:
        return await read_task(services, principal, task_id)

    if verdict.outcome == "kept":
        return ActedOn(verdict=verdict, row=before)
    row, _ = await until(read, lambda row: _shows(row, before, verb, principal), SHOWN_WITHIN_SECONDS)
    return ActedOn(verdict=verdict, row=row)


async def read_task(services: Services, principal: Principal, task_id: UUID) -> TaskRow:
    """The task's row. Raises NotFoundError, also for another organization's."""
    async with services.database.reading(principal.organization_id) as session:
        return await task_rows.get_task(session, task_id)


async def ticket_for(services: Services, principal: Principal, task_id: UUID) -> Ticket:
    """A short-lived ticket with which this person may act on this task through a Temporal client.

    Raises NotFoundError, TaskClosedError. It proves identity only: whether the person may is decided when it is used.
    """
    row = await _known_task(services, principal, task_id)
    if row.state not in ("open", "claimed"):
        raise TaskClosedError("the task is closed")
    text = issue_ticket(
        services.settings.signing_key,
        task_id=task_id,
        execution_id=row.execution_id,
        organization_id=principal.organization_id,
        actor=principal.actor,
    )
    return Ticket(
        text=text,
        expires_at=datetime.now(UTC) + TICKET_LIFETIME,
        workflow_id=workflow_id(principal.organization_id, row.execution_id),
    )


async def _known_task(services: Services, principal: Principal, task_id: UUID) -> TaskRow:
    async with services.writing(principal) as session:
        return await task_rows.get_task(session, task_id)


def _shows(row: TaskRow, before: TaskRow, verb: str, principal: Principal) -> bool:
    """Whether the projection has caught up with an accepted verb."""
    me = principal.actor.id
    is_mine = row.claimant is not None and row.claimant.id == me
    match verb:
        case "decide":
            return any(json_columns.as_object(vote.get("actor")).get("id") == str(me) for vote in row.votes)
        case "claim":
            # Where several decide, the first claimant stays; a repeated claim is accepted and changes nothing.
            return is_mine or row.seq > before.seq
        case _:
            return not is_mine

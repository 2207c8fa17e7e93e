"""The approver's inbox."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.responses import Response

from api.http.dependencies import IdempotencyKey, Opened
from api.http.lists import filters_of, listing
from api.http.problems import documented
from api.http.schemas import Listing, Success
from api.http.security import Principal, TaskActor, TaskReader
from api.services import Services
from api.tasks.operations import ActedOn, act, decide, read_task, ticket_for
from api.tasks.read import list_tasks
from api.tasks.schemas import DecisionRequest, TaskAnswer, TaskListQuery, TaskView, TicketView, VerdictView
from api.tasks.views import task_view

router = APIRouter(prefix="/tasks", tags=["tasks"])

_KEPT: dict[int | str, dict[str, Any]] = {
    202: {"model": Success[TaskAnswer], "description": "Checked and kept; it takes effect when the run goes on."}
}
_REFUSALS = ("NOT_FOUND", "NOT_ELIGIBLE", "SELF_APPROVAL", "TASK_CLOSED", "RATE_LIMITED", "WORKER_UNAVAILABLE")


@router.get("", responses=documented())
async def list_all(
    query: Annotated[TaskListQuery, Query()], principal: TaskReader, services: Opened
) -> Listing[TaskView]:
    """Tasks, those due first at the top. Open ones unless asked otherwise."""
    page = await list_tasks(services, principal, query)
    views = [task_view(row, principal, services.sealer) for row in page.items]
    return listing(page, views, filters_of(query))


@router.get("/{task_id}", responses=documented("NOT_FOUND"))
async def read_one(task_id: UUID, principal: TaskReader, services: Opened) -> Success[TaskView]:
    """One task: what to decide on, the form, and who has decided so far."""
    return Success(data=task_view(await read_task(services, principal, task_id), principal, services.sealer))


@router.post("/{task_id}/claim", responses=documented(*_REFUSALS, "ALREADY_DECIDED"))
async def claim(
    task_id: UUID, principal: TaskActor, services: Opened, idempotency_key: IdempotencyKey = None
) -> Success[TaskAnswer]:
    """Take the task. A claim never overrides another's."""
    return _answer(
        await act(services, principal, task_id, "claim", fields={}, key=idempotency_key), principal, services
    )


@router.post("/{task_id}/release", responses=documented(*_REFUSALS))
async def release(
    task_id: UUID, principal: TaskActor, services: Opened, idempotency_key: IdempotencyKey = None
) -> Success[TaskAnswer]:
    """Give one's claim back."""
    return _answer(
        await act(services, principal, task_id, "release", fields={}, key=idempotency_key), principal, services
    )


@router.post(
    "/{task_id}/decisions",
    responses={**documented(*_REFUSALS, "ALREADY_DECIDED", "CONTRACT_VALIDATION_FAILED"), **_KEPT},
)
async def decisions(
    *,
    task_id: UUID,
    request: DecisionRequest,
    principal: TaskActor,
    services: Opened,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> Success[TaskAnswer]:
    """Give one's answer. The person is the token's, whatever the body says."""
    acted = await decide(services, principal, task_id, request, idempotency_key)
    response.status_code = 200 if acted.verdict.outcome == "accepted" else 202
    return _answer(acted, principal, services)


@router.post("/{task_id}/ticket", responses=documented("NOT_FOUND", "TASK_CLOSED"))
async def ticket(task_id: UUID, principal: TaskActor, services: Opened) -> Success[TicketView]:
    """A short-lived ticket that lets this person act on this task through a Temporal client."""
    made = await ticket_for(services, principal, task_id)
    view = TicketView(ticket=made.text, expires_at=made.expires_at, task_id=task_id, workflow_id=made.workflow_id)
    return Success(data=view)


def _answer(acted: ActedOn, principal: Principal, services: Services) -> Success[TaskAnswer]:
    verdict = acted.verdict
    outcome = "kept" if verdict.outcome == "kept" else "accepted"
    return Success(
        data=TaskAnswer(
            verdict=VerdictView(outcome=outcome, detail=verdict.detail, data=verdict.data),
            task=task_view(acted.row, principal, services.sealer),
        )
    )

"""Tasks of people: read, claim, release, decide."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.responses import Response

from api.context import RequestContext, TaskActor, TaskReader
from api.http.dependencies import IdempotencyKey
from api.http.lists import filters_of, listing
from api.http.problems import documented
from api.http.schemas import Listing, Success
from api.tasks.operations import UpdatedTask, issue_task_ticket, list_tasks, read_task, update_task
from api.tasks.schemas import DecisionRequest, TaskAnswer, TaskListQuery, TaskView, TicketView, VerdictView
from api.tasks.views import task_view
from playbooks.engine.model.control_messages import Claim, Decide, Release

router = APIRouter(prefix="/tasks", tags=["tasks"])

_KEPT: dict[int | str, dict[str, Any]] = {
    202: {"model": Success[TaskAnswer], "description": "Checked and kept; it takes effect when the run resumes."}
}
_REFUSALS = ("NOT_FOUND", "NOT_ELIGIBLE", "SELF_APPROVAL", "TASK_CLOSED", "RATE_LIMITED", "WORKER_UNAVAILABLE")


@router.get("", responses=documented())
async def list_all(query: Annotated[TaskListQuery, Query()], context: TaskReader) -> Listing[TaskView]:
    """List tasks, the first due first. Only open ones unless `state` says otherwise."""
    page = await list_tasks(context, query.to_filter(context.principal), query.limit)
    return listing(page, [task_view(row, context) for row in page.items], filters_of(query))


@router.get("/{task_id}", responses=documented("NOT_FOUND"))
async def read_one(task_id: UUID, context: TaskReader) -> Success[TaskView]:
    """Read a task: its input, the form, and the decisions so far."""
    return Success(data=task_view(await read_task(context, task_id), context))


@router.post("/{task_id}/claim", responses=documented(*_REFUSALS, "ALREADY_DECIDED"))
async def claim(task_id: UUID, context: TaskActor, idempotency_key: IdempotencyKey = None) -> Success[TaskAnswer]:
    """Claim the task. A claim never replaces another person's."""
    return _answer(await update_task(context, task_id, Claim(), idempotency_key), context)


@router.post("/{task_id}/release", responses=documented(*_REFUSALS))
async def release(task_id: UUID, context: TaskActor, idempotency_key: IdempotencyKey = None) -> Success[TaskAnswer]:
    """Release one's own claim."""
    return _answer(await update_task(context, task_id, Release(), idempotency_key), context)


@router.post(
    "/{task_id}/decisions",
    responses={**documented(*_REFUSALS, "ALREADY_DECIDED", "CONTRACT_VALIDATION_FAILED"), **_KEPT},
)
async def decisions(
    task_id: UUID,
    request: DecisionRequest,
    context: TaskActor,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> Success[TaskAnswer]:
    """Decide the task. The person is always that of the token."""
    action = Decide(
        decision=request.decision,
        comment=request.comment,
        data=request.data,
        attachments=tuple(request.attachments),
    )
    updated = await update_task(context, task_id, action, idempotency_key)
    response.status_code = 200 if updated.verdict.outcome == "accepted" else 202
    return _answer(updated, context)


@router.post("/{task_id}/ticket", responses=documented("NOT_FOUND", "TASK_CLOSED"))
async def ticket(task_id: UUID, context: TaskActor) -> Success[TicketView]:
    """Issue a short-lived ticket that lets this person act on this task through a Temporal client."""
    made = await issue_task_ticket(context, task_id)
    view = TicketView(ticket=made.text, expires_at=made.expires_at, task_id=task_id, workflow_id=made.workflow_id)
    return Success(data=view)


def _answer(updated: UpdatedTask, context: RequestContext) -> Success[TaskAnswer]:
    verdict = updated.verdict
    outcome = "kept" if verdict.outcome == "kept" else "accepted"
    view = VerdictView(outcome=outcome, detail=verdict.detail, data=verdict.data)
    return Success(data=TaskAnswer(verdict=view, task=task_view(updated.row, context)))

"""Control a run: pause, resume, verbs about its steps, cancel, signals."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Body, Query
from starlette.responses import Response

from api.context import RequestContext, RunController
from api.http.dependencies import IdempotencyKey
from api.http.problems import documented
from api.http.schemas import Success
from api.runs.control import ControlledRun, cancel_run, control_run, send_signal
from api.runs.read import read_details, run_tag
from api.runs.schemas import CancelRequest, ControlRequest, RunView, SignalAnswer, SignalRequest
from api.runs.views import full_view
from playbooks.engine.model.control_messages import Signal

router = APIRouter(prefix="/playbooks/runs", tags=["runs"])

_ACCEPTED = {202: {"model": Success[RunView], "description": "Accepted; the run does not show the effect yet."}}


@router.put(
    "/{execution_id}",
    responses={
        **documented(
            "NOT_FOUND",
            "INVALID_STATUS",
            "INVALID_ACTION",
            "INVALID_STEP_STATE",
            "NOT_ELIGIBLE",
            "CONTRACT_VALIDATION_FAILED",
            "NOT_SUPPORTED",
            "RATE_LIMITED",
            "WORKER_UNAVAILABLE",
        ),
        **_ACCEPTED,
    },
)
async def control(
    *,
    execution_id: UUID,
    request: ControlRequest,
    context: RunController,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> Success[RunView]:
    """Pause the run (`until` an instant, if given), resume it, or resolve a step: `retry_step` (an incident),
    `skip_step`, `complete_step`, `fail_step`."""
    controlled = await control_run(context, execution_id, request.to_action(), idempotency_key)
    return await _answer(context, controlled, response)


@router.delete(
    "/{execution_id}",
    responses={
        **documented("NOT_FOUND", "INVALID_STATUS", "ALREADY_CANCELLED", "RATE_LIMITED", "WORKER_UNAVAILABLE"),
        **_ACCEPTED,
    },
)
async def cancel(
    *,
    execution_id: UUID,
    context: RunController,
    response: Response,
    request: Annotated[CancelRequest | None, Body()] = None,
    reason: Annotated[str | None, Query(max_length=2000)] = None,
    idempotency_key: IdempotencyKey = None,
) -> Success[RunView]:
    """Cancel the run. The reason, in the body or in the query, is recorded."""
    if request is not None and request.reason is not None:
        reason = request.reason
    return await _answer(context, await cancel_run(context, execution_id, reason, idempotency_key), response)


@router.post(
    "/{execution_id}/signals",
    responses=documented(
        "NOT_FOUND", "INVALID_STATUS", "RESOURCE_LIMIT_EXCEEDED", "RATE_LIMITED", "WORKER_UNAVAILABLE"
    ),
)
async def signal(
    execution_id: UUID, request: SignalRequest, context: RunController, idempotency_key: IdempotencyKey = None
) -> Success[SignalAnswer]:
    """Deliver a named message to every step that waits for it. Without such a step it is kept for the next one."""
    message = Signal(name=request.name, payload=request.payload)
    sent = await send_signal(context, execution_id, message, idempotency_key)
    return Success(data=SignalAnswer(name=request.name, delivered_to=[*sent.delivered_to], kept=sent.kept))


async def _answer(context: RequestContext, controlled: ControlledRun, response: Response) -> Success[RunView]:
    found = await read_details(context, controlled.row.execution_id)
    response.status_code = 200 if controlled.is_projected else 202
    response.headers["ETag"] = run_tag(found.row)
    return Success(data=full_view(found, context))

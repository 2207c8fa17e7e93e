"""Steer a run that was started."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Body, Query
from starlette.responses import Response

from api.http.dependencies import IdempotencyKey, Opened
from api.http.problems import documented
from api.http.schemas import Success
from api.http.security import Principal, RunController
from api.runs.control import Controlled, cancel_run, control_run, send_signal
from api.runs.read import read_details, run_tag
from api.runs.schemas import CancelRequest, ControlRequest, RunView, SignalAnswer, SignalRequest
from api.runs.views import full_view
from api.services import Services

router = APIRouter(prefix="/playbooks/runs", tags=["runs"])

_ACCEPTED = {202: {"model": Success[RunView], "description": "Accepted; the effect does not show in the run yet."}}


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
    principal: RunController,
    services: Opened,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> Success[RunView]:
    """Pause the run (`until` an instant, if given), let it go on, or say what becomes of a step: `retry_step` (an
    incident), `skip_step`, `complete_step`, `fail_step`."""
    controlled = await control_run(services, principal, execution_id, request, idempotency_key)
    return await _answer(services, principal, controlled, response)


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
    principal: RunController,
    services: Opened,
    response: Response,
    request: Annotated[CancelRequest | None, Body()] = None,
    reason: Annotated[str | None, Query(max_length=2000)] = None,
    idempotency_key: IdempotencyKey = None,
) -> Success[RunView]:
    """Cancel the run. The reason, in the body or in the query, is recorded."""
    given = request.reason if request is not None and request.reason is not None else reason
    controlled = await cancel_run(services, principal, execution_id, given, idempotency_key)
    return await _answer(services, principal, controlled, response)


@router.post(
    "/{execution_id}/signals",
    responses=documented(
        "NOT_FOUND", "INVALID_STATUS", "RESOURCE_LIMIT_EXCEEDED", "RATE_LIMITED", "WORKER_UNAVAILABLE"
    ),
)
async def signal(
    *,
    execution_id: UUID,
    request: SignalRequest,
    principal: RunController,
    services: Opened,
    idempotency_key: IdempotencyKey = None,
) -> Success[SignalAnswer]:
    """Deliver a named message: every step that waits for it goes on, or it is kept for one that will."""
    return Success(data=await send_signal(services, principal, execution_id, request, idempotency_key))


async def _answer(
    services: Services, principal: Principal, controlled: Controlled, response: Response
) -> Success[RunView]:
    found = await read_details(services, principal, controlled.row.execution_id)
    response.status_code = 200 if controlled.is_settled else 202
    response.headers["ETag"] = run_tag(found.row)
    return Success(data=full_view(found, principal, services.sealer))

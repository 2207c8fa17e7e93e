"""Probes and metrics, at the root and without a token."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from api.context import ServicesDep
from api.http.metrics import CONTENT_TYPE, Metrics
from api.http.problems import documented
from playbooks.common.errors import ServiceUnavailableError

router = APIRouter(tags=["operations"])


class Liveness(BaseModel):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """Whether requests can be served. Without Temporal they can: runs are accepted and started later."""

    status: Literal["ready", "not_ready"]
    database: bool
    temporal: bool


@router.get("/livez", responses=documented())
async def livez() -> Liveness:
    """Report that the process is alive."""
    return Liveness()


@router.get("/readyz", response_model=Readiness, responses={**documented(), 503: {"model": Readiness}})
async def readyz(services: ServicesDep) -> Response:
    """Report whether the process can serve requests; 503 while the database is away."""
    try:
        await services.database.ping()
        has_database = True
    except ServiceUnavailableError:
        has_database = False
    view = Readiness(
        status="ready" if has_database else "not_ready",
        database=has_database,
        temporal=await services.workflows.is_reachable(),
    )
    headers = {} if has_database else {"Retry-After": "2"}
    return JSONResponse(view.model_dump(), status_code=200 if has_database else 503, headers=headers)


@router.get(
    "/metrics",
    response_class=Response,
    responses={**documented(), 200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(request: Request) -> Response:
    """Return counts and durations in Prometheus' text format."""
    collected: Metrics = request.app.state.metrics
    return Response(collected.render(), headers={"Content-Type": CONTENT_TYPE})

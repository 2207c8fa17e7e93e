"""The application: rooms of routes, the edge around them, and the one way in which errors leave.

Owns composition only. `create_app` opens nothing; connections live between start-up and shutdown.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import cast

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.codec import routes as codec_routes
from api.http import openapi
from api.http.metrics import Metrics
from api.http.problems import code_of_status, problem_response, status_of
from api.http.request_errors import MISSING_RESOURCE, is_malformed, is_wrong_path, problems_of
from api.http.request_guard import EdgeMiddleware
from api.playbooks import export_routes
from api.playbooks import routes as playbooks_routes
from api.probes import routes as probes_routes
from api.publication import routes as publication_routes
from api.runs import control_routes, start_routes
from api.runs import routes as runs_routes
from api.services import opened
from api.simulation import routes as simulation_routes
from api.smart_codes import routes as smart_codes_routes
from api.steps import routes as steps_routes
from api.tasks import routes as tasks_routes
from api.versions import routes as versions_routes
from playbooks.common.errors import PlaybooksError
from runtime.codec import MAX_REQUEST_BYTES
from runtime.settings import Settings
from storage.database.roles import sqlstate

BASE = "/api/v1"
_DATA_EXCEPTION = "22"  # the class of SQLSTATE

# The fixed paths below /playbooks come before those with an id in their place.
_ROUTERS = (
    smart_codes_routes.router,
    runs_routes.router,
    control_routes.router,
    playbooks_routes.router,
    publication_routes.router,
    versions_routes.router,
    export_routes.router,
    steps_routes.router,
    start_routes.router,
    simulation_routes.router,
    tasks_routes.router,
)
_ROOT_ROUTERS = (probes_routes.router, codec_routes.router)


def create_app(settings: Settings) -> FastAPI:
    """The HTTP API. Starts and answers while PostgreSQL or Temporal is away (503, or 202 for a run's start)."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        async with opened(settings) as services:
            app.state.services = services
            yield

    metrics = Metrics()
    app = FastAPI(
        title="HERA Playbooks",
        version=openapi.VERSION,
        description=openapi.DESCRIPTION,
        lifespan=lifespan,
        redirect_slashes=False,
        separate_input_output_schemas=False,
        docs_url="/docs",
        redoc_url=None,
        openapi_url="/openapi.json",
    )
    app.state.metrics = metrics
    for router in _ROUTERS:
        app.include_router(router, prefix=BASE)
    for router in _ROOT_ROUTERS:
        app.include_router(router)
    app.add_exception_handler(PlaybooksError, _on_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(DBAPIError, _on_database)
    # Pages of a history are larger than any body of ours, and protobuf's parser reads them, not ours.
    app.add_middleware(
        EdgeMiddleware, observe=metrics.observe, raw_paths=dict.fromkeys(codec_routes.PATHS, MAX_REQUEST_BYTES)
    )
    app.openapi = lambda: openapi.document(app)
    return app


def _answer(request: Request, status: int, code: str, error: PlaybooksError, **headers: str) -> Response:
    return problem_response(
        status=status,
        code=code,
        detail=error.detail,
        instance=request.url.path,
        trace_id=request.state.trace_id,
        items=error.problems,
        headers=headers,
    )


async def _on_error(request: Request, error: Exception) -> Response:
    refused = cast("PlaybooksError", error)
    return _answer(request, status_of(refused), refused.code, refused)


async def _on_invalid(request: Request, error: Exception) -> Response:
    invalid = cast("RequestValidationError", error)
    if is_wrong_path(invalid):
        # An id that cannot be one names nothing, exactly as an id that nobody has.
        return _answer(request, 404, "NOT_FOUND", PlaybooksError(MISSING_RESOURCE))
    status = 400 if is_malformed(invalid) else 422
    problems = problems_of(invalid)
    detail = "; ".join(f"{item.pointer or 'body'}: {item.message}" for item in problems[:3])
    return _answer(request, status, "VALIDATION_ERROR", PlaybooksError(detail, problems))


async def _on_database(request: Request, error: Exception) -> Response:
    # Values reach SQL as they came in a few places (a cursor's, say); what the database cannot read is the sender's.
    if not (sqlstate(cast("DBAPIError", error)) or "").startswith(_DATA_EXCEPTION):
        raise error
    return _answer(request, 422, "VALIDATION_ERROR", PlaybooksError("a value in the request cannot be used"))


async def _on_http(request: Request, error: Exception) -> Response:
    refused = cast("HTTPException", error)
    status = refused.status_code
    headers = dict(refused.headers or {})
    if status == 405:
        headers["Allow"] = ", ".join(_methods(request))
    return _answer(request, status, code_of_status(status), PlaybooksError(str(refused.detail)), **headers)


def _methods(request: Request) -> list[str]:
    """All methods of a path. The framework names only those of the first route that has it."""
    places = [*((request.url.path.removeprefix(BASE), router) for router in _ROUTERS)]
    places += [(request.url.path, router) for router in _ROOT_ROUTERS]
    return sorted(
        {
            method
            for path, router in places
            for route in router.routes
            if isinstance(route, Route) and route.path_regex.match(path)
            for method in route.methods or ()
        }
    )

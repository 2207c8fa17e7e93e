"""Composition of the HTTP application: routers, middleware, and the translation of errors into answers.

`create_app` opens nothing; connections live between start-up and shutdown.
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
from api.http.etags import NotModifiedError
from api.http.metrics import Metrics
from api.http.problems import code_of_status, problem_response, status_of
from api.http.request_errors import MISSING_RESOURCE, is_malformed, is_wrong_path, problems_of
from api.http.request_guard import RequestGuardMiddleware
from api.playbooks import export_routes
from api.playbooks import routes as playbooks_routes
from api.probes import routes as probes_routes
from api.publication import routes as publication_routes
from api.runs import control_routes, start_routes
from api.runs import routes as runs_routes
from api.services import open_services
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

# Fixed paths below /playbooks precede those that have an id in the same place.
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
    """Return the HTTP API. It starts and answers while PostgreSQL or Temporal is away (503, or 202 to start a run)."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        async with open_services(settings) as services:
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
    app.add_exception_handler(NotModifiedError, _on_not_modified)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(DBAPIError, _on_database)
    # The codec's bodies are pages of a history: larger than any other body, and parsed by protobuf.
    app.add_middleware(
        RequestGuardMiddleware, observe=metrics.observe, raw_paths=dict.fromkeys(codec_routes.PATHS, MAX_REQUEST_BYTES)
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


async def _on_not_modified(request: Request, error: Exception) -> Response:
    return Response(status_code=304, headers=cast("NotModifiedError", error).headers)


async def _on_invalid(request: Request, error: Exception) -> Response:
    invalid = cast("RequestValidationError", error)
    if is_wrong_path(invalid):
        # A malformed id is answered as an id that does not exist.
        return _answer(request, 404, "NOT_FOUND", PlaybooksError(MISSING_RESOURCE))
    status = 400 if is_malformed(invalid) else 422
    problems = problems_of(invalid)
    detail = "; ".join(f"{item.pointer or 'body'}: {item.message}" for item in problems[:3])
    return _answer(request, status, "VALIDATION_ERROR", PlaybooksError(detail, problems))


async def _on_database(request: Request, error: Exception) -> Response:
    # A few values reach SQL unchecked (those of a cursor, for example); one that the database refuses is the sender's
    # mistake.
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
    """Return all methods of a path. The framework names only those of the first matching route."""
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

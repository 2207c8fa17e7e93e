"""Errors as `application/problem+json` (RFC 9457), and the one table from codes to HTTP statuses.

Invariant: every error reaches the client as this document with a stable `code`; a client's mistake never becomes a 5xx.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Literal

from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from playbooks.common import errors
from playbooks.common.errors import PlaybooksError, Problem
from playbooks.common.values import JsonObject

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 2

STATUSES: Mapping[str, int] = {
    "UNAUTHORIZED": 401,
    "FORBIDDEN": 403,
    "SELF_APPROVAL": 403,
    "NOT_ELIGIBLE": 403,
    "NOT_FOUND": 404,
    "ALREADY_CANCELLED": 409,
    "ALREADY_DECIDED": 409,
    "ALREADY_EXISTS": 409,
    "DUPLICATE_EXECUTION": 409,
    "INVALID_PLAYBOOK_STATUS": 409,
    "INVALID_STATE_TRANSITION": 409,
    "INVALID_STATUS": 409,
    "INVALID_STEP_STATE": 409,
    "TASK_CLOSED": 409,
    "PRECONDITION_FAILED": 412,
    "CONTRACT_VALIDATION_FAILED": 422,
    "IDEMPOTENCY_KEY_REUSED": 422,
    "INPUT_VALIDATION_ERROR": 422,
    "INVALID_ACTION": 422,
    "NOT_SUPPORTED": 422,
    "RESOURCE_LIMIT_EXCEEDED": 422,
    "VALIDATION_ERROR": 422,
    "VALIDATION_FAILED": 422,
    "PLAYBOOK_IMMUTABLE": 423,
    "PRECONDITION_REQUIRED": 428,
    "RATE_LIMITED": 429,
    "INTERNAL_ERROR": 500,
    "SERVICE_UNAVAILABLE": 503,
    "WORKER_UNAVAILABLE": 503,
}

# Codes of refusals that the web framework makes before a route is reached.
_FRAMEWORK_CODES: Mapping[int, str] = {
    400: "VALIDATION_ERROR",
    401: "UNAUTHORIZED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    405: "INVALID_ACTION",
    413: "RESOURCE_LIMIT_EXCEEDED",
}


class ProblemItem(BaseModel):
    """One finding. `pointer` is a JSON Pointer into the request."""

    pointer: str = Field(examples=["/steps/0/worker_type"])
    code: str = Field(examples=["UNKNOWN_FIELD"])
    message: str
    suggestion: str | None = None
    severity: Literal["error", "warning"] | None = None


class ProblemDocument(BaseModel):
    """An error (RFC 9457). Branch on `code`; `detail` and `error` hold the same sentence for people."""

    model_config = ConfigDict(title="Problem")

    type: str = Field(examples=["urn:hera:playbooks:problem:not-found"])
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["there is no such run"])
    instance: str = Field(examples=["/api/v1/playbooks/runs/0198c0de-0000-7000-8000-000000000001"])
    success: Literal[False] = False
    code: str = Field(examples=["NOT_FOUND"])
    error: str = Field(examples=["there is no such run"])
    errors: list[ProblemItem] = Field(default_factory=list[ProblemItem])
    trace_id: str = Field(examples=["4bf92f3577b34da6a3ce929d0e0e4736"])


def status_of(error: PlaybooksError) -> int:
    """Return the HTTP status of an error. A body that cannot be parsed is 400; other content errors are 422."""
    if isinstance(error, errors.MalformedRequestError):
        return 400
    return STATUSES.get(error.code, 500)


def code_of_status(status: int) -> str:
    """Return the code for a refusal of the web framework itself."""
    return _FRAMEWORK_CODES.get(status, "VALIDATION_ERROR" if status < 500 else "INTERNAL_ERROR")


def error_of_code(code: str | None, detail: str, items: Sequence[JsonObject] = ()) -> PlaybooksError:
    """Return the error with this code, for a verdict that a run returned.

    An unknown code becomes ConflictError, because a run refused the request.
    """
    kind = _BY_CODE.get(code or "", errors.ConflictError)
    return kind(detail, tuple(_problem(item) for item in items))


def problem_response(
    *,
    status: int,
    code: str,
    detail: str,
    instance: str,
    trace_id: str,
    items: Sequence[Problem] = (),
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """Return the answer. 503 and 429 always carry Retry-After, 401 WWW-Authenticate."""
    document = ProblemDocument(
        type=f"urn:hera:playbooks:problem:{code.lower().replace('_', '-')}",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        instance=instance,
        code=code,
        error=detail,
        errors=[_item(problem) for problem in items],
        trace_id=trace_id,
    )
    all_headers = dict(headers or {})
    if status in (429, 503):
        all_headers.setdefault("Retry-After", str(RETRY_AFTER_SECONDS))
    if status == 401:
        all_headers.setdefault("WWW-Authenticate", "Bearer")
    content = document.model_dump(mode="json", exclude_none=True)
    return JSONResponse(content, status_code=status, media_type=MEDIA_TYPE, headers=all_headers)


NOT_MODIFIED: dict[int | str, dict[str, Any]] = {304: {"description": "Not changed since the tag in If-None-Match."}}


def documented(*codes: str) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI `responses` of a route with these codes, besides the codes that every route has."""
    by_status: dict[int, list[str]] = {400: ["VALIDATION_ERROR"]}
    for code in ("UNAUTHORIZED", "FORBIDDEN", "VALIDATION_ERROR", "RESOURCE_LIMIT_EXCEEDED", *codes):
        by_status.setdefault(STATUSES[code], []).append(code)
    by_status.setdefault(503, []).append("SERVICE_UNAVAILABLE")
    by_status[413] = ["RESOURCE_LIMIT_EXCEEDED"]
    by_status[500] = ["INTERNAL_ERROR"]
    return {status: _documented(status, names) for status, names in sorted(by_status.items())}


def _documented(status: int, codes: Sequence[str]) -> dict[str, Any]:
    unique = sorted(set(codes))
    return {
        "description": f"{HTTPStatus(status).phrase}: {', '.join(unique)}",
        "content": {
            MEDIA_TYPE: {
                "schema": {"$ref": "#/components/schemas/Problem"},
                "examples": {code: {"value": _example(status, code)} for code in unique},
            }
        },
    }


def _example(status: int, code: str) -> JsonObject:
    detail = code.replace("_", " ").capitalize()
    return {
        "type": f"urn:hera:playbooks:problem:{code.lower().replace('_', '-')}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "instance": "/api/v1/playbooks",
        "success": False,
        "code": code,
        "error": detail,
        "errors": [],
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    }


def _item(problem: Problem) -> ProblemItem:
    return ProblemItem(
        pointer=problem.pointer,
        code=problem.code,
        message=problem.message,
        suggestion=problem.suggestion,
        severity="warning" if problem.severity == "warning" else None,
    )


def _problem(item: JsonObject) -> Problem:
    return Problem(
        pointer=str(item.get("pointer", "")),
        code=str(item.get("code", "VALIDATION_ERROR")),
        message=str(item.get("message", "")),
    )


def _tree(kind: type[PlaybooksError]) -> Iterator[type[PlaybooksError]]:
    # Children first, so that the class that defines a code wins over its subclasses.
    for child in kind.__subclasses__():
        yield from _tree(child)
    yield kind


_BY_CODE: Mapping[str, type[PlaybooksError]] = {
    **{kind.code: kind for kind in _tree(PlaybooksError)},
    "VALIDATION_ERROR": errors.ValidationError,
    "INVALID_STATUS": errors.InvalidStatusError,
    "FORBIDDEN": errors.ForbiddenError,
}

"""ASGI middleware that every request passes before a route sees it.

It sets the trace id, bounds the size and depth of bodies, refuses text that cannot be stored, and answers an
unforeseen exception. Invariant: a route's parser only ever sees UTF-8 JSON that is small, shallow and storable (YAML
has become JSON here), and every exception leaves as a problem document.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from typing import NoReturn, cast
from urllib.parse import unquote_to_bytes
from uuid import uuid4

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.problems import problem_response, status_of
from playbooks.common.errors import LimitExceededError, MalformedRequestError, PlaybooksError, ValidationError
from playbooks.common.json_values import check_value
from playbooks.common.values import Json
from runtime.yaml_text import MEDIA_TYPES, from_yaml

MAX_BODY_BYTES = 2_000_000
MAX_QUERY_BYTES = 8_192
# Larger integers fit neither the expression engine nor a database's column.
MAX_INTEGER = 2**63 - 1

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")

Observer = Callable[[Scope, int, float], None]
"""Receives each answered request: scope, status, seconds."""


class RequestGuardMiddleware:
    """The middleware; see the module's docstring."""

    def __init__(self, app: ASGIApp, observe: Observer, raw_paths: Mapping[str, int] | None = None) -> None:
        """`raw_paths` maps paths to their limit in bytes; their bodies are not parsed here."""
        self._app = app
        self._raw_paths = dict(raw_paths or {})
        self._observe = observe
        self._log = structlog.get_logger("api")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        trace_id = _trace_id(scope)
        scope.setdefault("state", {})["trace_id"] = trace_id
        started = time.perf_counter()
        status = 500

        async def traced_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", []), (b"x-trace-id", trace_id.encode())]
            await send(message)

        try:
            await self._guarded(scope, receive, traced_send)
        finally:
            self._observe(scope, status, time.perf_counter() - started)

    async def _guarded(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_answered = False

        async def watched_send(message: Message) -> None:
            nonlocal is_answered
            is_answered = True
            await send(message)

        try:
            _check_query(scope)
            limit = self._raw_paths.get(scope["path"])
            body = await _read_body(scope, receive, limit or MAX_BODY_BYTES)
            if limit is None:
                body = _checked_body(scope, body)
            _name_type(scope, body)
            await self._app(scope, _replay(body, receive), watched_send)
        except PlaybooksError as error:
            # 413 is about the size of the body as such; a limit on its content is 422.
            status = 413 if isinstance(error, LimitExceededError) else status_of(error)
            await _answer(scope, receive, watched_send, status, error)
        except Exception:
            # The client gets no internals; the log has everything under the trace id that the client gets.
            self._log.exception("unforeseen_error", trace_id=scope["state"]["trace_id"], path=scope["path"])
            if is_answered:
                raise
            await _answer(scope, receive, watched_send, 500, PlaybooksError("something went wrong on our side"))


def _trace_id(scope: Scope) -> str:
    match = _TRACEPARENT.fullmatch(_header(scope, b"traceparent"))
    return match.group(1) if match else uuid4().hex


def _header(scope: Scope, name: bytes) -> str:
    for key, value in cast("list[tuple[bytes, bytes]]", scope["headers"]):
        if key == name:
            return value.decode("latin-1").strip()
    return ""


def _check_query(scope: Scope) -> None:
    query = cast("bytes", scope["query_string"])
    if len(query) > MAX_QUERY_BYTES:
        raise MalformedRequestError(f"the query is longer than {MAX_QUERY_BYTES} bytes")
    try:
        text = unquote_to_bytes(query).decode()
    except UnicodeDecodeError as error:
        raise MalformedRequestError("the query is not UTF-8") from error
    if "\x00" in text:
        raise MalformedRequestError("the query holds a NUL character")


async def _read_body(scope: Scope, receive: Receive, limit: int) -> bytes:
    length = _header(scope, b"content-length")
    if length.isdecimal() and int(length[:12]) > limit:
        _too_large(limit)
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise MalformedRequestError("the client went away before its body was complete")
        part = cast("bytes", message.get("body", b""))
        size += len(part)
        if size > limit:
            _too_large(limit)
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


def _too_large(limit: int) -> NoReturn:
    raise LimitExceededError(f"a body may have {limit} bytes")


def _checked_body(scope: Scope, body: bytes) -> bytes:
    """Return the body as JSON. A YAML body is converted, so that routes parse JSON only."""
    if not body.strip():
        return body
    kind = _header(scope, b"content-type").partition(";")[0].strip().lower()
    if kind in MEDIA_TYPES:
        value = from_yaml(_decoded(body))
        body = json.dumps(value).encode()
        scope["headers"] = [item for item in scope["headers"] if item[0] not in (b"content-type", b"content-length")]
    elif kind and kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        raise MalformedRequestError("a body is sent as application/json, or as application/yaml")
    else:
        value = _parse(body)
    problems = check_value(value)
    if problems:
        raise ValidationError("the body holds values that cannot be stored", problems)
    return body


def _decoded(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise MalformedRequestError("the body is not UTF-8") from error


def _parse(body: bytes) -> Json:
    try:
        return json.loads(_decoded(body), parse_constant=_refuse_constant, parse_int=_integer)
    except json.JSONDecodeError as error:
        detail = f"the body is not JSON: {error.msg} (line {error.lineno}, column {error.colno})"
        raise MalformedRequestError(detail) from error
    except RecursionError as error:
        raise MalformedRequestError("the body is nested too deep to be read") from error


def _refuse_constant(name: str) -> Json:
    raise MalformedRequestError(f"the body is not JSON: {name} is not a number")


def _integer(text: str) -> int:
    # Text is compared by its length first: reading thousands of digits is slow, and Python refuses it.
    if len(text) > 20 or abs(int(text)) > MAX_INTEGER:
        raise ValidationError(f"integers lie between -{MAX_INTEGER} and {MAX_INTEGER}; send larger ones as text")
    return int(text)


def _name_type(scope: Scope, body: bytes) -> None:
    """Set the content type of a JSON body that was sent without one."""
    if body and not _header(scope, b"content-type"):
        scope["headers"] = [*scope["headers"], (b"content-type", b"application/json")]


def _replay(body: bytes, receive: Receive) -> Receive:
    is_sent = False

    async def replay() -> Message:
        nonlocal is_sent
        if is_sent:
            return await receive()
        is_sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


async def _answer(scope: Scope, receive: Receive, send: Send, status: int, error: PlaybooksError) -> None:
    response = problem_response(
        status=status,
        code=error.code,
        detail=error.detail,
        instance=scope["path"],
        trace_id=scope["state"]["trace_id"],
        items=error.problems,
    )
    await response(scope, receive, send)

"""The external handler `http_request`: one HTTP exchange, its response mapped into the step's output.

`activities.egress` decides where it may connect. Invariant: no credential, header, query or body reaches an error's
text, and credentials never follow a redirect to another origin.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeAlias, cast

import httpx2

from activities.egress import EgressRefusedError, PinnedTransport
from activities.handler import HandlerCall, HandlerResult, StepFailedError, failed
from activities.http_auth import Credentials, read_credentials
from playbooks.common.values import MAX_RETRY_AFTER_MS, ErrorKind, Json, JsonObject
from playbooks.document.handler_catalog import BUILT_IN
from runtime.settings import Settings

HttpFactory: TypeAlias = Callable[[], httpx2.AsyncClient]

MAX_RESPONSE_BYTES = 1_048_576
MAX_REDIRECTS = 5
CONNECT_TIMEOUT_SECONDS = 5.0
_KINDS: dict[int, ErrorKind] = {
    401: "permission",
    403: "permission",
    404: "not_found",
    408: "timeout",
    429: "rate_limited",
    504: "timeout",
}
# Not for later steps: the run's rows would hold somebody's session.
_HIDDEN_RESPONSE_HEADERS = frozenset({"set-cookie", "www-authenticate", "proxy-authenticate"})


def http_factory(settings: Settings) -> HttpFactory:
    """Return a factory of clients that share one TLS context and connect only where the egress guard allows it."""
    tls = httpx2.create_ssl_context()

    def new_client() -> httpx2.AsyncClient:
        return httpx2.AsyncClient(
            transport=PinnedTransport(settings.egress_allow, tls=tls), trust_env=False, follow_redirects=False
        )

    return new_client


class HttpRequestHandler:
    """Calls a URL. Every attempt carries the same `Idempotency-Key`, so a receiver can recognise a repeat."""

    description = BUILT_IN["http_request"]

    def __init__(self, new_client: HttpFactory) -> None:
        self._new_client = new_client

    async def run(self, call: HandlerCall) -> HandlerResult:
        """Return the mapped response of a 2xx. Raises StepFailedError by status, MappingError for a bad mapping."""
        credentials = read_credentials(call)
        async with self._new_client() as client:
            request = _build(client, call, credentials)
            origin = _origin(request.url)
            try:
                status, headers, body = await _exchange(client, request, credentials)
            except EgressRefusedError as error:
                raise failed("permission", "EGRESS_REFUSED", str(error)) from None
            except httpx2.TimeoutException as error:
                raise failed("timeout", "HTTP_TIMEOUT", f"{origin} did not answer in time") from error
            except (httpx2.TransportError, httpx2.DecodingError) as error:
                reason = type(error).__name__
                raise failed("network", "HTTP_CONNECTION_FAILED", f"no answer from {origin}: {reason}") from error
        if status >= 300:
            raise _refusal(request.method, origin, status, headers)
        answer: JsonObject = {"status": status, "headers": _plain(headers), "body": _read_body(headers, body, origin)}
        mapping = call.config.get("output")
        return HandlerResult(output=answer if mapping is None else call.resolve(mapping, {"response": answer}))


def _build(client: httpx2.AsyncClient, call: HandlerCall, credentials: Credentials) -> httpx2.Request:
    config = call.config
    url = call.resolve(config.get("url"))
    if not isinstance(url, str):
        raise failed("validation", "INVALID_URL", "the url is not text", pointer="/config/url")
    headers = {"Accept-Encoding": "identity", **_texts(call.resolve(config.get("headers") or {}), "headers")}
    query = {**_texts(call.resolve(config.get("query") or {}), "query"), **credentials.query}
    content, content_type = _content(call.resolve(config.get("body")))
    built = httpx2.Headers(headers)
    if content_type is not None and "content-type" not in built:
        built["Content-Type"] = content_type
    built.update(credentials.headers)
    built["Idempotency-Key"] = call.effect_key
    method = str(config.get("method") or ("GET" if content is None else "POST"))
    try:
        target = httpx2.URL(url)
        request = client.build_request(
            method,
            target.copy_merge_params(query) if query else target,
            headers=built,
            content=content,
            timeout=httpx2.Timeout(call.timeout_seconds, connect=CONNECT_TIMEOUT_SECONDS),
        )
    except (httpx2.InvalidURL, UnicodeError, ValueError) as error:
        raise failed("validation", "INVALID_URL", "the url or a header cannot be sent", pointer="/config") from error
    if target.userinfo or not target.host:
        raise failed("validation", "INVALID_URL", "the url needs a host and no user name", pointer="/config/url")
    return request


async def _exchange(
    client: httpx2.AsyncClient, request: httpx2.Request, credentials: Credentials
) -> tuple[int, httpx2.Headers, bytes]:
    """Follow redirects by hand, so that credentials stay with the first origin."""
    first = _origin(request.url)
    for _ in range(MAX_REDIRECTS + 1):
        response = await client.send(request, stream=True)
        try:
            following = response.next_request
            if following is None:
                return response.status_code, response.headers, await _read(response, first)
        finally:
            await response.aclose()
        if _origin(following.url) != first:
            if request.url.scheme == "https" and following.url.scheme != "https":
                raise failed("permission", "EGRESS_REFUSED", f"{first} redirects to an unencrypted address")
            for name in (*credentials.headers, "Authorization", "Cookie", "Proxy-Authorization"):
                following.headers.pop(name, None)
        request = following
    raise failed("validation", "TOO_MANY_REDIRECTS", f"{first} redirects more than {MAX_REDIRECTS} times")


async def _read(response: httpx2.Response, origin: str) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in response.aiter_bytes():
        size += len(part)
        if size > MAX_RESPONSE_BYTES:
            raise failed("validation", "RESPONSE_TOO_LARGE", f"{origin} answered more than {MAX_RESPONSE_BYTES} bytes")
        parts.append(part)
    return b"".join(parts)


def _refusal(method: str, origin: str, status: int, headers: httpx2.Headers) -> StepFailedError:
    kind = _KINDS.get(status, "temporary_failure" if status >= 500 else "validation")
    delay = _retry_after_ms(headers.get("retry-after")) if status in (429, 503) else None
    return failed(kind, f"HTTP_{status}", f"{method} {origin} answered {status}", retry_after_ms=delay)


def _retry_after_ms(text: str | None) -> int | None:
    """Read a Retry-After header (RFC 9110): seconds or a date. None for anything else; at most MAX_RETRY_AFTER_MS."""
    if not text:
        return None
    if text.strip().isdecimal():
        return min(int(text.strip()[:9]) * 1000, MAX_RETRY_AFTER_MS)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    delay = (at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return max(0, min(int(delay * 1000), MAX_RETRY_AFTER_MS))


def _read_body(headers: httpx2.Headers, body: bytes, origin: str) -> Json:
    if not body:
        return None
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == "application/json" or media_type.endswith("+json"):
        try:
            return cast("Json", json.loads(body))
        except (ValueError, RecursionError) as error:
            raise failed("validation", "RESPONSE_NOT_JSON", f"{origin} answered JSON that cannot be read") from error
    return body.decode("utf-8", errors="replace")


def _content(body: Json) -> tuple[bytes | None, str | None]:
    match body:
        case None:
            return None, None
        case str():
            return body.encode(), "text/plain; charset=utf-8"
        case _:
            return json.dumps(body, ensure_ascii=False, allow_nan=False).encode(), "application/json"


def _texts(value: Json, field: str) -> dict[str, str]:
    if not isinstance(value, dict):
        raise failed("validation", "INVALID_CONFIG", f"{field} is not an object", pointer=f"/config/{field}")
    return {name: _text(item) for name, item in value.items() if item is not None}


def _text(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _plain(headers: httpx2.Headers) -> JsonObject:
    return {name: value for name, value in sorted(headers.items()) if name not in _HIDDEN_RESPONSE_HEADERS}


def _origin(url: httpx2.URL) -> str:
    """Return scheme, host and port, which are all of a URL that may stand in an error's text."""
    return f"{url.scheme}://{url.netloc.decode('ascii', errors='replace')}"

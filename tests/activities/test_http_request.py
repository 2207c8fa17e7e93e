"""The external handler against a real server: requests, mapping of answers, no leaks."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from ipaddress import ip_address, ip_network
from typing import Any

import httpx2
import pytest

from activities.egress import Address, PinnedTransport
from activities.handler import StepFailedError
from activities.http_request import MAX_RESPONSE_BYTES, HttpRequestHandler, http_factory
from playbooks.common.errors import MappingError
from playbooks.common.values import StepError
from playbooks.contracts import validation
from runtime.settings import Settings
from tests.activities.calls import handler_call
from tests.activities.http_server import Answer, HttpServer, http_server

SECRET = "s3cr3t-value"


@pytest.fixture
async def server() -> AsyncGenerator[HttpServer]:
    async with http_server() as running:
        yield running


def handler(allow: str = "127.0.0.0/8") -> HttpRequestHandler:
    return HttpRequestHandler(http_factory(Settings.model_validate({"egress_allow": allow})))


async def output_of(config: dict[str, Any], value: Any = None) -> Any:
    problems = validation.validate(HttpRequestHandler.description.config_schema, config)
    assert problems == ()
    return (await handler().run(handler_call(config, value))).output


async def error_of(config: dict[str, Any], *, allow: str = "127.0.0.0/8", timeout_seconds: float = 5.0) -> StepError:
    with pytest.raises(StepFailedError) as caught:
        await handler(allow).run(handler_call(config, timeout_seconds=timeout_seconds))
    assert SECRET not in str(caught.value)
    assert SECRET not in repr(caught.value.error)
    return caught.value.error


async def test_request_carries_everything_when_mapped_from_input(server: HttpServer) -> None:
    server.answers["/orders/7"] = Answer(201, {"X-Id": "a1", "Set-Cookie": "session=1"}, b'{"id": 9, "items": [1]}')
    config = {
        "method": "PUT",
        "url": server.url("/orders/${input.id}?fixed=yes"),
        "headers": {"X-Trace": "t-${input.id}"},
        "query": {"limit": "${input.limit}", "q": "a b"},
        "body": {"id": "${input.id}", "name": "é"},
        "output": {
            "order": "${response.body.id}",
            "status": "${response.status}",
            "tag": "${response.headers['x-id']}",
        },
    }
    assert await output_of(config, {"id": 7, "limit": 20}) == {"order": 9, "status": 201, "tag": "a1"}
    asked = server.asked[0]
    assert (asked.method, asked.target) == ("PUT", "/orders/7?fixed=yes&limit=20&q=a+b")
    assert asked.headers["x-trace"] == "t-7"
    assert asked.headers["content-type"] == "application/json"
    assert asked.headers["idempotency-key"] == handler_call({}).effect_key
    assert json.loads(asked.body) == {"id": 7, "name": "é"}


async def test_whole_answer_is_the_output_when_nothing_is_mapped(server: HttpServer) -> None:
    server.answers["/"] = Answer(200, {"Content-Type": "text/plain", "Set-Cookie": "session=1"}, b"hello")
    output = await output_of({"url": server.url()})
    assert (output["status"], output["body"]) == (200, "hello")
    assert "set-cookie" not in output["headers"]


@pytest.mark.parametrize(
    ("auth", "header", "value"),
    [
        ({"type": "bearer", "token": "${input.secret}"}, "authorization", f"Bearer {SECRET}"),
        (
            {"type": "basic", "username": "u", "password": SECRET},
            "authorization",
            "Basic " + base64.b64encode(f"u:{SECRET}".encode()).decode(),
        ),
        ({"type": "api_key", "name": "X-Api-Key", "value": SECRET}, "x-api-key", SECRET),
    ],
)
async def test_credentials_are_sent_when_auth_is_configured(
    server: HttpServer, auth: dict[str, str], header: str, value: str
) -> None:
    server.answers["/"] = Answer()
    await output_of({"url": server.url(), "auth": auth}, {"secret": SECRET})
    assert server.asked[0].headers[header] == value


async def test_key_is_sent_in_the_query_when_configured_so(server: HttpServer) -> None:
    server.answers["/"] = Answer(404)
    auth = {"type": "api_key", "name": "key", "value": SECRET, "in": "query"}
    await error_of({"url": server.url(), "auth": auth})
    assert server.asked[0].target == f"/?key={SECRET}"


async def test_kind_of_auth_is_refused_when_it_is_not_built(server: HttpServer) -> None:
    error = await error_of({"url": server.url(), "auth": {"type": "hmac", "key": SECRET}})
    assert (error.code, error.pointer) == ("NOT_SUPPORTED", "/config/auth/type")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "validation"),
        (401, "permission"),
        (403, "permission"),
        (404, "not_found"),
        (408, "timeout"),
        (409, "validation"),
        (422, "validation"),
        (429, "rate_limited"),
        (500, "temporary_failure"),
        (503, "temporary_failure"),
        (504, "timeout"),
    ],
)
async def test_failure_has_a_kind_when_the_status_is_not_2xx(server: HttpServer, status: int, kind: str) -> None:
    server.answers["/p"] = Answer(status, body=f'{{"echo": "{SECRET}"}}'.encode())
    error = await error_of({"url": server.url(f"/p?token={SECRET}"), "auth": {"type": "bearer", "token": SECRET}})
    assert (error.kind, error.code) == (kind, f"HTTP_{status}")
    assert error.message == f"GET http://127.0.0.1:{server.port} answered {status}"


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_waits_when_the_service_asks_for_it(server: HttpServer, status: int) -> None:
    server.answers["/"] = Answer(status, {"Retry-After": "7"})
    assert (await error_of({"url": server.url()})).retry_after_ms == 7000
    at = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    server.answers["/"] = Answer(status, {"Retry-After": at})
    delay = (await error_of({"url": server.url()})).retry_after_ms
    assert delay is not None and 80_000 < delay <= 90_000
    for nonsense in ("soon", "-5", "٣", "1" * 400):
        server.answers["/"] = Answer(status, {"Retry-After": nonsense} if nonsense.isascii() else {})
        delay = (await error_of({"url": server.url()})).retry_after_ms
        assert delay is None or delay <= 86_400_000


async def test_failure_is_network_when_the_connection_is_refused(server: HttpServer) -> None:
    assert (await error_of({"url": "http://127.0.0.1:1/"})).kind == "network"
    server.answers["/"] = Answer(drops=True)
    assert (await error_of({"url": server.url()})).kind == "network"


async def test_failure_is_timeout_when_the_answer_is_late(server: HttpServer) -> None:
    server.answers["/"] = Answer(delay_seconds=3)
    assert (await error_of({"url": server.url()}, timeout_seconds=0.2)).kind == "timeout"


async def test_answer_is_refused_when_it_is_too_large(server: HttpServer) -> None:
    server.answers["/"] = Answer(body=b'"' + b"x" * MAX_RESPONSE_BYTES + b'"')
    assert (await error_of({"url": server.url()})).code == "RESPONSE_TOO_LARGE"


@pytest.mark.parametrize("body", [b"{", b"[" * 100_000, b'"\xff"'])
async def test_answer_is_refused_when_it_is_not_json(server: HttpServer, body: bytes) -> None:
    server.answers["/"] = Answer(body=body)
    assert (await error_of({"url": server.url()})).code == "RESPONSE_NOT_JSON"


async def test_step_fails_with_the_path_when_the_answer_lacks_what_is_mapped(server: HttpServer) -> None:
    server.answers["/"] = Answer(body=b'{"a": 1}')
    with pytest.raises(MappingError) as caught:
        await output_of({"url": server.url(), "output": {"b": "${response.body.b}"}})
    assert caught.value.problems[0].pointer == "/response/body/b"


@pytest.mark.parametrize(
    "location",
    ["http://169.254.169.254/latest/meta-data", "http://[fd00:ec2::254]/", "http://10.0.0.1/", "file:///etc/passwd"],
)
async def test_redirect_is_refused_when_it_leads_inside(server: HttpServer, location: str) -> None:
    server.answers["/"] = Answer(302, {"Location": location})
    assert (await error_of({"url": server.url()})).kind in ("permission", "network", "validation")
    error = await error_of({"url": server.url()})
    assert error.code in ("EGRESS_REFUSED", "HTTP_CONNECTION_FAILED", "INVALID_URL")
    if location.startswith("http"):
        assert error.code == "EGRESS_REFUSED"


async def test_private_address_is_refused_when_not_allowed(server: HttpServer) -> None:
    for host in ("127.0.0.1", "localhost"):
        error = await error_of({"url": server.url(host=host)}, allow="")
        assert (error.kind, error.code) == ("permission", "EGRESS_REFUSED")
    assert server.asked == []


async def test_redirect_is_followed_when_it_stays(server: HttpServer) -> None:
    server.answers["/"] = Answer(307, {"Location": "/there"})
    server.answers["/there"] = Answer(body=b'{"ok": true}')
    config = {"url": server.url(), "method": "POST", "body": {"a": 1}, "auth": {"type": "bearer", "token": SECRET}}
    assert (await output_of(config))["body"] == {"ok": True}
    assert server.asked[1].headers["authorization"] == f"Bearer {SECRET}"
    assert server.asked[1].body == server.asked[0].body


async def test_redirect_is_refused_when_it_never_ends(server: HttpServer) -> None:
    server.answers["/"] = Answer(302, {"Location": "/"})
    assert (await error_of({"url": server.url()})).code == "TOO_MANY_REDIRECTS"


async def test_credentials_stay_behind_when_a_redirect_leads_elsewhere(server: HttpServer) -> None:
    async with http_server() as other:
        other.answers["/"] = Answer()
        server.answers["/"] = Answer(302, {"Location": other.url()})
        config = {"url": server.url(), "auth": {"type": "api_key", "name": "X-Api-Key", "value": SECRET}}
        await output_of({**config, "headers": {"Cookie": SECRET, "X-Own": "1"}})
        assert SECRET not in repr(other.asked[0].headers)
        assert other.asked[0].headers["x-own"] == "1"


@pytest.mark.parametrize(
    "url", ["http://u:s3cr3t-value@127.0.0.1/", "http://", "http://[", "http://a b/", "ftp://127.0.0.1/"]
)
async def test_url_is_refused_when_it_cannot_be_called(url: str) -> None:
    assert (await error_of({"url": url})).kind in ("validation", "permission", "network")


async def test_header_is_refused_when_it_would_inject_another(server: HttpServer) -> None:
    server.answers["/"] = Answer()
    error = await error_of({"url": server.url(), "headers": {"X-A": f"1\r\nX-B: {SECRET}"}})
    assert error.kind in ("validation", "network")
    assert server.asked == []


@dataclass
class _Rebinding:
    """A name that is public when it is first asked for, and private ever after."""

    addresses: list[str]

    async def __call__(self, host: str, port: int) -> Sequence[Address]:
        return [ip_address(self.addresses.pop(0) if len(self.addresses) > 1 else self.addresses[0])]


async def test_redirect_is_checked_again_when_the_name_moves(server: HttpServer) -> None:
    server.answers["/"] = Answer(302, {"Location": f"http://moving.example:{server.port}/secret"})
    server.answers["/secret"] = Answer(body=b'"secret"')
    moving = _Rebinding(["127.0.0.1", "169.254.169.254"])

    def new_client() -> httpx2.AsyncClient:
        return httpx2.AsyncClient(transport=PinnedTransport((ip_network("127.0.0.0/8"),), resolver=moving))

    with pytest.raises(StepFailedError) as caught:
        await HttpRequestHandler(new_client).run(handler_call({"url": f"http://moving.example:{server.port}/"}))
    assert caught.value.error.code == "EGRESS_REFUSED"
    assert [asked.target for asked in server.asked] == ["/"]

"""Requests that never reach a route: unreadable bodies, values that cannot be stored, callers without a name."""

from __future__ import annotations

import json
import time
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

from tests.api.callers import BASE, Caller, Organization, document
from tests.support.servers import JWT_SECRET

PROBLEM_FIELDS = {"type", "title", "status", "detail", "instance", "success", "code", "error", "errors", "trace_id"}


def assert_problem(answer: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    assert (answer.status_code, answer.json().get("code")) == (status, code), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert set(body) >= PROBLEM_FIELDS
    assert body["success"] is False
    assert body["status"] == status
    assert body["error"] == body["detail"] != ""
    return body


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b'{"a": NaN}', 400),
        (b"\xff\xfe", 400),
        (b'{"a": "\xc3"}', 400),
        (b"[" * 100_000, 400),
        (b'{"a":' * 70 + b"1" + b"}" * 70, 422),
        (b'{"name": "a\\u0000b"}', 422),
        (b'{"name": "\\ud800"}', 422),
        (b'{"\\u0000": 1}', 422),
        (b'{"name": ' + b"9" * 5_000 + b"}", 422),
        (b'{"name": 1e999}', 422),
        (b"[]", 422),
        (b'"text"', 422),
        (b"null", 422),
        (b"", 422),
    ],
)
async def test_a_body_is_refused_when_it_cannot_be_read_or_stored(author: Caller, body: bytes, status: int) -> None:
    for path in ("/playbooks", "/playbooks/validate", f"/playbooks/{uuid4()}/execute"):
        answer = await author.ask("POST", path, content=body, headers={"Content-Type": "application/json"})
        if path.endswith("execute") and answer.status_code == 404:
            continue
        assert_problem(answer, status, "VALIDATION_ERROR")


@pytest.mark.parametrize("bad", [b'"nul\\u0000"', b'"half\\ud800"', b"1e999"])
async def test_a_runs_input_is_refused_when_it_cannot_be_stored(author: Caller, bad: bytes) -> None:
    playbook_id = await author.published(document())
    for path in (f"/playbooks/{playbook_id}/execute", f"/playbooks/{playbook_id}/simulate"):
        content = b'{"input_data": {"amount": 1, "a": {"b": ' + bad + b"}}}"
        answer = await author.ask("POST", path, content=content, headers={"Content-Type": "application/json"})
        assert assert_problem(answer, 422, "VALIDATION_ERROR")["errors"][0]["pointer"] == "/input_data/a/b"


async def test_a_body_is_refused_when_it_is_not_json_by_its_type(author: Caller) -> None:
    answer = await author.ask("POST", "/playbooks", content=b"a=1", headers={"Content-Type": "text/plain"})
    assert_problem(answer, 400, "VALIDATION_ERROR")


async def test_a_body_is_taken_when_it_has_no_type(author: Caller) -> None:
    answer = await author.ask("POST", "/playbooks", content=json.dumps(document()).encode())
    assert answer.status_code == 201


async def test_a_body_is_refused_when_it_is_too_large(author: Caller) -> None:
    assert_problem(await author.post("/playbooks", {"name": "x" * 2_100_000}), 413, "RESOURCE_LIMIT_EXCEEDED")


@pytest.mark.parametrize(
    "query", ["code=%00", "code=%ff", "limit=0", "limit=x", "nosuch=1", "cursor=AAAA", "offset=-1"]
)
async def test_a_query_is_refused_when_it_makes_no_sense(author: Caller, query: str) -> None:
    for path in ("/playbooks", "/playbooks/runs", "/tasks"):
        answer = await author.get(f"{path}?{query}")
        if query.startswith("code") and path == "/tasks":
            continue
        assert answer.status_code in (400, 422), (path, answer.text)
        assert_problem(answer, answer.status_code, "VALIDATION_ERROR")


async def test_a_forged_cursor_is_refused_when_its_value_is_of_no_type(author: Caller) -> None:
    from base64 import urlsafe_b64encode

    for path, order in (
        ("/playbooks", "created_at:desc"),
        ("/tasks", "opened_at:desc"),
        ("/playbooks/runs", "started_at:desc"),
    ):
        text = json.dumps([order, "not an instant", str(uuid4())]).encode()
        answer = await author.get(path, params={"cursor": urlsafe_b64encode(text).decode().rstrip("=")})
        assert_problem(answer, 422, "VALIDATION_ERROR")


async def test_not_found_is_answered_when_a_path_or_id_does_not_exist(author: Caller, http: httpx2.AsyncClient) -> None:
    assert_problem(await http.get("/nosuch"), 404, "NOT_FOUND")
    for path in ("/playbooks/not-a-uuid", f"/playbooks/{uuid4()}", f"/playbooks/runs/{uuid4()}", f"/tasks/{uuid4()}"):
        assert_problem(await author.get(path), 404, "NOT_FOUND")
    assert_problem(await author.get(f"/playbooks/runs/{uuid4()}/"), 404, "NOT_FOUND")


async def test_the_method_is_refused_when_a_path_has_no_such_method(author: Caller) -> None:
    answer = await author.ask("PATCH", "/playbooks")
    assert_problem(answer, 405, "INVALID_ACTION")
    assert "GET" in answer.headers["allow"]


async def test_the_trace_id_is_the_callers_when_it_sends_one(http: httpx2.AsyncClient) -> None:
    trace = uuid4().hex
    answer = await http.get("/nosuch", headers={"traceparent": f"00-{trace}-{'1' * 16}-01"})
    assert answer.json()["trace_id"] == answer.headers["x-trace-id"] == trace


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "é", "x" * 20_000])
async def test_unauthorized_is_answered_when_the_token_is_none(http: httpx2.AsyncClient, token: str) -> None:
    headers = [(b"Authorization", f"Bearer {token}".encode())] if token else []
    answer = await http.get(f"{BASE}/playbooks", headers=headers)
    assert_problem(answer, 401, "UNAUTHORIZED")
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_unauthorized_is_answered_when_the_token_is_expired_unsigned_or_anothers(
    http: httpx2.AsyncClient, organization: Organization
) -> None:
    claims = {"sub": "anna", "organization_id": str(organization.id), "permissions": ["playbooks:read"]}
    now = int(time.time())
    expired = jwt.encode({"alg": "HS256"}, {**claims, "exp": now - 3600}, OctKey.import_key(JWT_SECRET))
    other = jwt.encode({"alg": "HS256"}, {**claims, "exp": now + 3600}, OctKey.import_key("another" * 8))
    header, body, _ = other.split(".")
    for token in (expired, other, f"{header}.{body}.", f"eyJhbGciOiJub25lIn0.{body}."):
        answer = await http.get(f"{BASE}/playbooks", headers={"Authorization": f"Bearer {token}"})
        assert_problem(answer, 401, "UNAUTHORIZED")


async def test_forbidden_is_answered_when_the_permission_is_missing(organization: Organization) -> None:
    nobody = organization.caller("nobody", permissions=())
    for method, path in (
        ("GET", "/playbooks"),
        ("POST", "/playbooks"),
        ("GET", "/playbooks/runs"),
        ("PUT", f"/playbooks/runs/{uuid4()}"),
        ("DELETE", f"/playbooks/runs/{uuid4()}"),
        ("GET", "/tasks"),
        ("POST", f"/tasks/{uuid4()}/claim"),
        ("POST", f"/playbooks/{uuid4()}/execute"),
        ("GET", f"/playbooks/runs/{uuid4()}/timeline"),
    ):
        assert_problem(await nobody.ask(method, path), 403, "FORBIDDEN")


async def test_forbidden_is_answered_when_the_tokens_organization_does_not_exist(http: httpx2.AsyncClient) -> None:
    ghost = Organization(uuid4(), http).caller("ghost")
    assert_problem(await ghost.post("/playbooks", document()), 403, "FORBIDDEN")
    assert (await ghost.get("/playbooks")).json()["data"] == []

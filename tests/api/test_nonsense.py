"""Whatever a client sends, it gets a problem document below 500: every route, random bodies, queries and headers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, cast
from uuid import uuid4

import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.api.callers import BASE, Caller, Organization, document

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(codec=None), max_size=20)
    | st.sampled_from(
        [
            "publish",
            "pause",
            "append",
            "insert",
            "approve",
            "generate",
            "DEF",
            "",
            "\x00",
            "9999-12-31T23:59:59Z",
            "0001-01-01",
        ]
    )
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
)
FIELDS = [
    "name",
    "code",
    "industry",
    "steps",
    "input_contract",
    "output",
    "policies",
    "metadata",
    "create_new_version",
    "insert_mode",
    "insert_after_step",
    "base_version",
    "from_version_id",
    "action",
    "reason",
    "until",
    "effective_date",
    "notification_settings",
    "on_live_runs",
    "input_data",
    "execution_context",
    "execution_options",
    "simulation",
    "step_results",
    "decisions",
    "decision",
    "data",
    "comment",
    "attachments",
    "kind",
    "version",
    "codes",
    "step_number",
    "step_type",
    "worker_type",
    "config",
    "dependencies",
    "approval",
]
BODIES = st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=6) | VALUES
NAMES = [
    "limit",
    "offset",
    "cursor",
    "status",
    "wait",
    "include",
    "sort_by",
    "date_from",
    "duration_gte",
    "priority",
    "role",
    "state",
    "after",
    "code",
    "from",
    "to",
    "renumber",
    "include_validation",
]
QUERIES = st.dictionaries(st.sampled_from(NAMES), st.text(max_size=12) | st.integers().map(str), max_size=3)
HEADERS = st.dictionaries(
    st.sampled_from(["If-Match", "If-None-Match", "Idempotency-Key", "traceparent"]),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12),
    max_size=2,
)
Ids = dict[str, str]


@pytest.fixture
async def ids(author: Caller) -> Ids:
    playbook_id = await author.published(document())
    execution_id = await author.started(playbook_id, amount=1)
    return {"playbook_id": playbook_id, "execution_id": execution_id, "task_id": str(uuid4()), "number": "1"}


def routes(app: FastAPI) -> list[tuple[str, str]]:
    paths = cast("dict[str, dict[str, Any]]", app.openapi()["paths"])
    return [(method.upper(), path) for path, item in sorted(paths.items()) for method in sorted(item)]


def fill(path: str, ids: Ids) -> str:
    for name, value in ids.items():
        path = path.replace(f"{{{name}}}", value)
    return path


async def test_no_request_is_answered_with_a_server_error_when_it_is_nonsense(
    app: FastAPI, organization: Organization, author: Caller, ids: Ids
) -> None:
    loop = asyncio.get_running_loop()
    choices = routes(app)
    assert len(choices) > 25

    async def send(route: tuple[str, str], body: Any, query: dict[str, str], headers: dict[str, str]) -> None:
        method, path = route
        if "wait" in query:
            query = {**query, "wait": "0"}
        target = fill(path, ids).removeprefix(BASE)
        if not path.startswith(BASE):
            return
        content = json.dumps(body).encode() if method != "GET" else None
        sent = {"Content-Type": "application/json", **headers}
        answer = await author.ask(method, target, content=content, params=query, headers=sent)
        # A run's verbs need a worker, and none is there: 503 is the right answer.
        assert answer.status_code < 500 or answer.json()["code"] == "WORKER_UNAVAILABLE", (route, body, answer.text)
        if answer.status_code >= 400:
            assert answer.headers["content-type"] == "application/problem+json", answer.text

    @settings(
        max_examples=300,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
        database=None,
    )
    @given(
        route=st.sampled_from(
            [each for each in choices if each != ("DELETE", f"{BASE}/playbooks/runs/{{execution_id}}")]
        ),
        body=BODIES,
        query=QUERIES,
        headers=HEADERS,
    )
    def fuzz(route: tuple[str, str], body: Any, query: dict[str, str], headers: dict[str, str]) -> None:
        asyncio.run_coroutine_threadsafe(send(route, body, query, headers), loop).result(60)

    run: Callable[[], None] = fuzz
    await asyncio.to_thread(run)

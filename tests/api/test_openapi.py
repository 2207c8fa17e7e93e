"""The document that clients are generated from: valid, complete, and true about errors."""

from __future__ import annotations

import re
from typing import Any, cast

import httpx2
import pytest
from fastapi import FastAPI
from jsonschema import Draft202012Validator

from api.http.problems import STATUSES
from playbooks.common.errors import PlaybooksError
from tests.api.callers import Caller

PUBLIC = {"/livez", "/readyz", "/metrics", "/codec/decode", "/codec/encode"}


@pytest.fixture
def made(app: FastAPI) -> dict[str, Any]:
    return app.openapi()


def operations(made: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [(path, method, operation) for path, item in made["paths"].items() for method, operation in item.items()]


def test_every_operation_documents_its_problems_when_the_document_is_made(made: dict[str, Any]) -> None:
    for path, method, operation in operations(made):
        assert operation["summary"], (path, method)
        assert operation["description"], (path, method)
        assert path in PUBLIC or operation["security"] == [{"HTTPBearer": []}], path
        for status in ("400", "401", "403", "413", "422", "500"):
            content = operation["responses"][status]["content"]
            assert list(content) == ["application/problem+json"], (path, method, status)
            assert content["application/problem+json"]["examples"]
        ids = re.findall(r"{(\w+)}", path)
        assert not ids or "404" in operation["responses"], path


def test_every_reference_and_schema_is_valid_when_the_document_is_made(made: dict[str, Any]) -> None:
    schemas = made["components"]["schemas"]
    for name, schema in schemas.items():
        Draft202012Validator.check_schema(schema)
        assert name not in ("HTTPValidationError", "ValidationError")
    assert set(re.findall(r"#/components/schemas/([^'\"]+)", str(made))) <= set(schemas)
    ids = [operation["operationId"] for _, _, operation in operations(made)]
    assert len(ids) == len(set(ids))


def test_requests_have_examples_that_their_schema_allows_when_the_document_is_made(made: dict[str, Any]) -> None:
    for path, method, operation in operations(made):
        body = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if body is None or path.startswith("/codec/"):
            continue
        schema = {**body["schema"], "components": made["components"]}
        reference = body["schema"].get("$ref", "").rsplit("/", 1)[-1]
        examples = [*body.get("examples", ()), *body["schema"].get("examples", ())]
        examples += made["components"]["schemas"].get(reference, {}).get("examples", [])
        properties = made["components"]["schemas"].get(reference, {}).get("properties", {})
        assert examples or any("examples" in each for each in properties.values()) or method == "delete", (path, method)
        for example in examples:
            # The flag beside a document is not part of the document.
            plain = {name: value for name, value in example.items() if name != "create_new_version"}
            Draft202012Validator(schema).validate(plain)


def test_every_error_of_the_tree_has_a_status_when_the_table_is_read() -> None:
    def tree(kind: type[PlaybooksError]) -> list[type[PlaybooksError]]:
        return [kind, *(each for child in kind.__subclasses__() for each in tree(child))]

    assert {kind.code for kind in tree(PlaybooksError)} <= set(STATUSES)


async def test_the_document_and_probes_are_served_when_nobody_has_a_token(http: httpx2.AsyncClient) -> None:
    served = cast("dict[str, Any]", (await http.get("/openapi.json")).json())
    assert served["info"]["title"] == "HERA Playbooks"
    assert (await http.get("/livez")).json() == {"status": "ok"}
    assert (await http.get("/readyz")).json() == {"status": "ready", "database": True, "temporal": True}


async def test_requests_are_counted_by_route_when_metrics_are_read(http: httpx2.AsyncClient, author: Caller) -> None:
    await author.get("/playbooks/00000000-0000-0000-0000-000000000000")
    text = (await http.get("/metrics")).text
    assert re.search(
        r'playbook_http_requests_total\{method="GET",route="[^"]*{playbook_id}",status="404"\} [1-9]', text
    )
    assert "00000000-0000" not in text


async def test_the_codec_answers_the_web_ui_only_when_it_is_asked_from_a_page(http: httpx2.AsyncClient) -> None:
    body = {"payloads": [{"metadata": {"encoding": "anNvbi9wbGFpbg=="}, "data": "MQ=="}]}
    ours = await http.post("/codec/decode", json=body, headers={"Origin": "http://127.0.0.1:8233"})
    assert (ours.status_code, ours.json()) == (200, body)
    assert ours.headers["access-control-allow-origin"] == "http://127.0.0.1:8233"
    other = await http.post("/codec/decode", json=body, headers={"Origin": "http://evil.example"})
    assert "access-control-allow-origin" not in other.headers
    asked = await http.options("/codec/decode", headers={"Origin": "http://127.0.0.1:8233"})
    assert (asked.status_code, asked.headers["access-control-allow-methods"]) == (204, "POST, OPTIONS")
    refused = await http.post("/codec/decode", content=b'{"payloads": 3}')
    assert (refused.status_code, refused.json()["code"]) == (400, "VALIDATION_ERROR")


async def test_the_codec_refuses_when_the_caller_is_not_on_this_machine(app: FastAPI) -> None:
    transport = httpx2.ASGITransport(app=app, client=("192.0.2.1", 1))
    async with httpx2.AsyncClient(transport=transport, base_url="http://api.test") as outside:
        assert (await outside.post("/codec/decode", json={"payloads": []})).status_code == 403

"""Documents as files: JSON and YAML out of the API, and YAML into it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runtime.yaml_text import from_yaml, to_yaml
from tests.api.callers import Caller, document
from tests.api.test_request_guard import assert_problem

EXAMPLES = Path(__file__).parents[2] / "examples"


async def test_a_document_is_the_same_when_it_is_exported(author: Caller) -> None:
    written = json.loads((EXAMPLES / "grants-intake.playbook.json").read_text())
    path = f"/playbooks/{await author.draft(written)}/export"
    as_json = await author.get(path)
    as_yaml = await author.get(path, params={"format": "yaml"})
    accepted = await author.get(path, headers={"Accept": "application/yaml"})
    assert (as_json.headers["content-type"], json.loads(as_json.text)) == ("application/json", written)
    assert as_yaml.headers["content-type"].startswith("application/yaml")
    assert json.dumps(from_yaml(as_yaml.text)) == json.dumps(json.loads(as_json.text))
    assert json.dumps(from_yaml(as_yaml.text), sort_keys=True) == json.dumps(written, sort_keys=True)
    assert list(json.loads(as_json.text)) == list(written)
    assert accepted.text == as_yaml.text
    assert 'filename="grants-intake.v1.playbook.yaml"' in as_yaml.headers["content-disposition"]
    unchanged = await author.get(path, headers={"If-None-Match": as_json.headers["etag"]})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert_problem(await author.get(path, params={"format": "xml"}), 422, "VALIDATION_ERROR")


async def test_another_organization_gets_nothing_when_it_exports(author: Caller, stranger: Caller) -> None:
    playbook_id = await author.draft(document())
    assert_problem(await stranger.get(f"/playbooks/{playbook_id}/export"), 404, "NOT_FOUND")


@pytest.mark.parametrize("kind", ["application/yaml", "text/yaml; charset=utf-8"])
async def test_a_playbook_is_made_when_it_is_sent_as_yaml(author: Caller, kind: str) -> None:
    written = document(description="on: 2026-01-31")
    sent = {"content": to_yaml(written).encode(), "headers": {"Content-Type": kind}}
    report = await author.ask("POST", "/playbooks/validate", **sent)
    assert report.json()["data"]["is_valid"] is True
    made = await author.ask("POST", "/playbooks", **sent)
    assert made.status_code == 201, made.text
    assert made.json()["data"]["document"] == written


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (b"name: &a x", 400),
        (b"name: [", 400),
        (b"\xff", 400),
        (b"a: .nan", 400),
        (b"a: 1\na: 2", 422),
        (b"a: 99999999999999999999", 422),
        (b"- 1", 422),
        (b"a: " + b"[" * 90 + b"]" * 90, 422),
    ],
)
async def test_a_yaml_body_is_refused_when_json_has_no_such_value(author: Caller, text: bytes, status: int) -> None:
    answer = await author.ask("POST", "/playbooks", content=text, headers={"Content-Type": "application/yaml"})
    assert_problem(answer, status, "VALIDATION_ERROR")

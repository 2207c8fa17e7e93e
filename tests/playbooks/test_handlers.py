from __future__ import annotations

from typing import Any

import pytest

from playbooks.contracts.validation import check_schema, validate
from playbooks.document.handler_catalog import BUILT_IN, LATER_HANDLERS, HandlerDescription, describe

EXTRA = HandlerDescription(
    name="ledger_poster", step_type="system", is_pure=False, config_schema={"type": "object"}, summary="Posts."
)


def test_descriptions_are_sound_when_read() -> None:
    for name, description in BUILT_IN.items():
        assert description.name == name
        assert check_schema(description.config_schema) == ()
    assert not BUILT_IN.keys() & LATER_HANDLERS


def test_handler_is_found_when_type_and_name_fit() -> None:
    assert describe("rules_engine", "system") is BUILT_IN["rules_engine"]
    assert describe("proposal_scorer", "ai", provider="scripted") is BUILT_IN["scripted"]
    assert describe("ledger_poster", "system", {"ledger_poster": EXTRA}) is EXTRA


def test_handler_is_absent_when_type_or_name_do_not_fit() -> None:
    assert describe("approver", "human") is None
    assert describe("rules_engine", "external") is None
    assert describe("ledger_poster", "system") is None
    assert describe("scorer", "ai", provider="openai") is None


def test_built_in_handler_stays_when_a_package_brings_the_same_name() -> None:
    assert describe("timer", "system", {"timer": EXTRA}) is BUILT_IN["timer"]


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("data_validator", {}),
        ("data_validator", {"schema": {"type": "object"}}),
        ("data_processor", {"output": {"a": "${input.a}"}}),
        ("rules_engine", {"rules": [{"name": "a", "when": "true"}], "decision": "first"}),
        ("timer", {"duration_seconds": 1}),
        ("timer", {"duration_minutes": "${input.minutes}"}),
        ("timer", {"until": "2026-12-01T00:00:00Z"}),
        ("notification_sender", {"channels": ["email", {"type": "slack", "address": "#x", "enabled": True}]}),
        ("http_request", {"url": "https://a.example/${input.id}", "auth": {"type": "bearer", "token": "${input.t}"}}),
        ("http_request", {"url": "${input.url}", "auth": {"type": "api_key", "name": "k", "value": "v"}}),
        ("scripted", {"provider": "scripted", "script": [{"output": 1}, {"error": {"kind": "timeout"}}]}),
    ],
)  # fmt: skip
def test_config_is_accepted_when_it_fits(name: str, config: Any) -> None:
    assert validate(BUILT_IN[name].config_schema, config) == ()


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("data_validator", {"shcema": {}}),
        ("rules_engine", {}),
        ("rules_engine", {"rules": [{"name": "a"}]}),
        ("rules_engine", {"rules": [{"name": "a", "when": "true"}], "decision": "most"}),
        ("timer", {}),
        ("timer", {"duration_seconds": 1, "duration_minutes": 1}),
        ("timer", {"duration_seconds": 0}),
        ("timer", {"duration_seconds": "soon"}),
        ("http_request", {}),
        ("http_request", {"url": "ftp://a.example"}),
        ("http_request", {"url": "https://a.example", "method": "TRACE"}),
        ("http_request", {"url": "https://a.example", "auth": {"type": "bearer"}}),
        ("scripted", {"provider": "scripted", "script": []}),
        ("scripted", {"provider": "scripted", "script": [{"confidence": 1}]}),
        ("scripted", {"provider": "scripted", "script": [{"output": 1, "error": {"kind": "timeout"}}]}),
        ("scripted", {"provider": "scripted", "script": [{"output": 1, "confidence": 2}]}),
    ],
)
def test_config_is_refused_when_it_does_not_fit(name: str, config: Any) -> None:
    assert validate(BUILT_IN[name].config_schema, config)

"""Descriptions of the handlers: name, purity, and the schema of a step's `config`.

With them, publishing checks a step without importing the implementations, which are activities. Installed packages
add descriptions of the same shape. Schemas are closed: no field is accepted that no handler reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from playbooks.common.values import Json, JsonObject, StepType


@dataclass(frozen=True, slots=True, kw_only=True)
class HandlerDescription:
    """One handler. `config_schema` is JSON Schema 2020-12 of the step's `config`.

    Pointers into `config` (`*` for any item): `conditions` hold bare CEL that has to be true or false, `templates`
    hold mappings with `${...}`, `answers` mappings that may also name `response`. In all of them `input` is the
    step's resolved input. Texts elsewhere are literal.
    """

    name: str
    step_type: StepType
    is_pure: bool
    config_schema: JsonObject
    summary: str
    conditions: tuple[str, ...] = ()
    templates: tuple[str, ...] = ()
    answers: tuple[str, ...] = ()


def _object(properties: JsonObject, *required: str) -> JsonObject:
    schema: JsonObject = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**schema, "required": [*required]} if required else schema


def _array(items: Json, most: int, **more: Json) -> JsonObject:
    return {"type": "array", "items": items, "maxItems": most, **more}


def _text(most: int, **more: Json) -> JsonObject:
    return {"type": "string", "minLength": 1, "maxLength": most, **more}


def _integer(most: int) -> JsonObject:
    return {"type": "integer", "minimum": 1, "maximum": most}


def _one_of(*names: str) -> Json:
    return [{"required": [name]} for name in names]


_TEXT, _NAME = _text(10_000), _text(200)
_SHARE: JsonObject = {"type": "number", "minimum": 0, "maximum": 1}
_DURATION: JsonObject = {
    "anyOf": [
        {"type": "number", "exclusiveMinimum": 0, "maximum": 366 * 24 * 3600},
        {"type": "string", "pattern": "[$][{]"},
    ]
}
_AUTH: JsonObject = {
    "oneOf": [
        _object({"type": {"const": "bearer"}, "token": _TEXT}, "type", "token"),
        _object({"type": {"const": "basic"}, "username": _TEXT, "password": _TEXT}, "type", "username", "password"),
        _object(
            {"type": {"const": "api_key"}, "name": _NAME, "value": _TEXT, "in": {"enum": ["header", "query"]}},
            *("type", "name", "value"),
        ),
    ]
}
_RULE = _object({"name": _NAME, "when": _TEXT, "reason": _TEXT}, "name", "when")
_CHANNEL: JsonObject = {
    "anyOf": [_NAME, _object({"type": _NAME, "address": _NAME, "enabled": {"type": "boolean"}}, "type")]
}
_ERROR_KINDS: Json = ["timeout", "network", "temporary_failure", "rate_limited", "permission", "system"]
_SCRIPT_ENTRY: JsonObject = {
    **_object(
        {
            "output": True,
            "confidence": _SHARE,
            "error": _object({"kind": {"enum": _ERROR_KINDS}, "message": _TEXT}, "kind"),
        }
    ),
    "oneOf": [
        {"required": ["output"], "not": {"required": ["error"]}},
        {"required": ["error"], "not": {"anyOf": _one_of("output", "confidence")}},
    ],
}

_pure = partial(HandlerDescription, step_type="system", is_pure=True)

_DESCRIPTIONS = (
    _pure(
        name="data_validator",
        config_schema=_object({"schema": {"type": "object"}}),
        summary="Checks the step's input against `schema`, or against the step's input_contract where there is none.",
    ),
    _pure(
        name="data_processor",
        config_schema=_object({"output": True}),
        summary="Makes the output that the mapping `output` describes; without it the input as it came.",
        templates=("/output",),
    ),
    _pure(
        name="rules_engine",
        config_schema=_object(
            {"rules": _array(_RULE, 200, minItems=1), "decision": {"enum": ["all", "any", "first"]}}, "rules"
        ),
        summary="Decides by named rules: all of them hold, any of them, or the first that does; with reasons.",
        conditions=("/rules/*/when",),
    ),
    _pure(
        name="timer",
        config_schema={
            **_object({"duration_seconds": _DURATION, "duration_minutes": _DURATION, "until": _TEXT}),
            "oneOf": _one_of("duration_seconds", "duration_minutes", "until"),
        },
        summary="Waits for a duration, or until an instant.",
        templates=("/duration_seconds", "/duration_minutes", "/until"),
    ),
    _pure(
        name="signal_wait",
        config_schema=_object(
            {
                "signals": _array(_text(100), 50, minItems=1, uniqueItems=True),
                "persistent": {"type": "boolean"},
                **{"timeout_seconds": _DURATION, "timeout_minutes": _DURATION, "until": _TEXT},
                "on_timeout": {"enum": ["continue", "fail"]},
            },
            "signals",
        ),
        summary="Waits for the first of several named signals, or until an instant.",
        templates=("/timeout_seconds", "/timeout_minutes", "/until"),
    ),
    HandlerDescription(
        name="sub_playbook",
        step_type="system",
        is_pure=False,
        config_schema=_object(
            {
                "playbook": {"type": "string", "pattern": "^[a-z][a-z0-9-]{1,62}$"},
                "version": _integer(1_000_000),
                "mode": {"enum": ["wait", "detach"]},
                "max_depth": _integer(20),
                "priority": {"enum": ["low", "normal", "high", "critical"]},
            },
            "playbook",
        ),
        summary="Runs another playbook with the step's input, and waits for its end unless `mode` is `detach`.",
    ),
    HandlerDescription(
        name="notification_sender",
        step_type="system",
        is_pure=False,
        config_schema=_object(
            {
                "channels": _array(_CHANNEL, 20),
                "recipients": _array(_NAME, 200),
                **{"subject": _TEXT, "message": _TEXT, "data": {"type": "object"}},
            }
        ),
        summary="Sends a message to people.",
        templates=("/channels", "/recipients", "/subject", "/message", "/data"),
    ),
    HandlerDescription(
        name="http_request",
        step_type="external",
        is_pure=False,
        config_schema=_object(
            {
                "method": {"enum": ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]},
                "url": _text(4_096, minLength=8, pattern="^(https?://|[$][{])"),
                "headers": {"type": "object", "additionalProperties": {"type": "string"}, "maxProperties": 50},
                "query": {"type": "object", "maxProperties": 50},
                **{"body": True, "auth": _AUTH, "output": True},
            },
            "url",
        ),
        summary="Calls an outside service; `output` maps `response.status|headers|body`.",
        templates=("/url", "/headers", "/query", "/body", "/auth"),
        answers=("/output",),
    ),
    HandlerDescription(
        name="scripted",
        step_type="ai",
        is_pure=False,
        config_schema=_object(
            {
                **{"provider": {"const": "scripted"}, "model": _NAME, "prompt": _TEXT},
                "confidence_threshold": _SHARE,
                "on_low_confidence": {"enum": ["human_review", "fail", "accept"]},
                "script": _array(_SCRIPT_ENTRY, 100, minItems=1),
            },
            *("provider", "script"),
        ),
        summary="Gives the answers written in the playbook, for demos and tests.",
        templates=("/prompt",),
    ),
)

BUILT_IN: dict[str, HandlerDescription] = {description.name: description for description in _DESCRIPTIONS}

LATER_HANDLERS: frozenset[str] = frozenset({"universal_api", "webhook"})
"""Handlers of the contract that are not built yet."""

LATER_PROVIDERS: frozenset[str] = frozenset({"openai", "anthropic", "gemini"})
"""AI providers of the contract that are not built yet."""

LATER_CONFIG: dict[str, tuple[str, ...]] = {
    "scripted": ("fallback", "confidence_source", "context", "examples"),
    "http_request": ("rate_limit", "circuit_breaker"),
}
"""Settings of the contract that are not built yet, by handler."""

LATER_AUTH: frozenset[str] = frozenset({"oauth2", "oauth2_client_credentials", "hmac"})
"""Ways to authorize an outgoing call that are not built yet."""


def describe(
    worker_type: str,
    step_type: StepType,
    extra: Mapping[str, HandlerDescription] | None = None,
    *,
    provider: str = "scripted",
) -> HandlerDescription | None:
    """Return the handler of such a step, or None where there is none (human steps have no handler).

    AI steps are done by their `config.provider`, whatever their `worker_type`; `extra` are handlers of installed
    packages, which cannot replace a built-in one.
    """
    if step_type == "human":
        return None
    name = provider if step_type == "ai" else worker_type
    found = BUILT_IN.get(name) or (extra or {}).get(name)
    return found if found is not None and found.step_type == step_type else None

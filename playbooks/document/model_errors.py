"""Problems of a document's shape: pydantic's findings with JSON Pointers, and the features that are not built."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic import ValidationError as ModelError

from playbooks.common.errors import Problem
from playbooks.common.errors import error as problem
from playbooks.common.json_pointer import join, pick
from playbooks.common.values import Json, JsonObject
from playbooks.document.handler_catalog import LATER_AUTH, LATER_CONFIG, LATER_HANDLERS, LATER_PROVIDERS

_CODES: dict[str, str] = {
    "missing": "REQUIRED",
    "extra_forbidden": "UNKNOWN_FIELD",
    "literal_error": "NOT_ALLOWED",
    "string_pattern_mismatch": "PATTERN",
    "string_too_short": "LENGTH",
    "string_too_long": "LENGTH",
    "too_short": "LENGTH",
    "too_long": "LENGTH",
    "greater_than": "OUT_OF_RANGE",
    "greater_than_equal": "OUT_OF_RANGE",
    "less_than": "OUT_OF_RANGE",
    "less_than_equal": "OUT_OF_RANGE",
    "finite_number": "OUT_OF_RANGE",
}

_TYPES: dict[str, str] = {
    "string_type": "text",
    "int_type": "a whole number",
    "float_type": "a decimal",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
}

_POLICIES = ("sla", "retention_days")


def from_model(error: ModelError, model: type[BaseModel], value: Json) -> tuple[Problem, ...]:
    """Return the problems of a document that does not fit `model`; one per place and rule."""
    found: dict[tuple[str, str], Problem] = {}
    for item in error.errors(include_url=False, include_context=False, include_input=False):
        location = _location(item["loc"], value)
        pointer = join("", *location)
        code = _CODES.get(item["type"], "WRONG_TYPE" if item["type"].endswith("_type") else "INVALID_VALUE")
        if code == "UNKNOWN_FIELD":
            name = location[-1]
            close = get_close_matches(name, _fields_at(model, location[:-1]), 1)
            suggestion = f"did you mean '{close[0]}'?" if close else None
            found[pointer, code] = problem(pointer, code, f"there is no field '{name[:100]}'", suggestion)
        elif code == "REQUIRED":
            found[pointer, code] = problem(pointer, code, f"the field '{location[-1]}' is missing")
        else:
            earlier = found.get((pointer, code))
            found[pointer, code] = problem(pointer, code, _words(item["type"], item["msg"], earlier))
    return tuple(found.values())


def not_supported(value: Json) -> Iterator[Problem]:
    """Return a problem for each feature in a document that this version does not build."""
    if not isinstance(value, dict):
        return
    yield from _given(value.get("policies"), _POLICIES, "/policies")
    steps = value.get("steps")
    for index, step in enumerate(steps if isinstance(steps, list) else []):
        if isinstance(step, dict):
            yield from _in_step(step, f"/steps/{index}")


def _in_step(step: JsonObject, place: str) -> Iterator[Problem]:
    worker = step.get("worker_type")
    if step.get("step_type") in ("system", "external") and isinstance(worker, str) and worker in LATER_HANDLERS:
        yield _unbuilt(f"{place}/worker_type", f"the handler '{worker}'")
    if step.get("step_type") == "ai":
        yield from _in_ai_config(step, place)
    if worker == "http_request":
        kind = pick(step, "/config/auth/type")
        if isinstance(kind, str) and kind in LATER_AUTH:
            yield _unbuilt(f"{place}/config/auth/type", f"authorization by '{kind}'")
        yield from _given(step.get("config"), LATER_CONFIG["http_request"], f"{place}/config")


def _in_ai_config(step: JsonObject, place: str) -> Iterator[Problem]:
    provider = pick(step, "/config/provider")
    if isinstance(provider, str) and provider in LATER_PROVIDERS:
        yield _unbuilt(f"{place}/config/provider", f"the AI provider '{provider}'", "use 'scripted' until then")
    yield from _given(step.get("config"), LATER_CONFIG["scripted"], f"{place}/config")


def _given(part: Json, names: tuple[str, ...], place: str) -> Iterator[Problem]:
    if isinstance(part, dict):
        for name in names:
            if part.get(name) is not None:
                yield _unbuilt(f"{place}/{name}", f"'{name}'")


def _unbuilt(pointer: str, what: str, suggestion: str | None = None) -> Problem:
    return problem(pointer, "NOT_SUPPORTED", f"{what} is not supported yet", suggestion)


def _words(kind: str, message: str, earlier: Problem | None) -> str:
    """Describe the expected type; the branches of a union become one sentence."""
    text = f"has to be {_TYPES[kind]}" if kind in _TYPES else message.replace("Input should", "has to", 1)
    if earlier is None or text == earlier.message:
        return text
    return f"{earlier.message} or {text.removeprefix('has to be ')}"


def _location(location: tuple[int | str, ...], value: Json) -> list[str]:
    """Return the place in the document without the union branches that pydantic adds to it."""
    parts: list[str] = []
    for index, part in enumerate(location):
        is_last = index == len(location) - 1
        if isinstance(value, dict):
            if isinstance(part, str) and (part in value or is_last):
                parts.append(part)
                value = value.get(part)
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            parts.append(str(part))
            value = value[part]
    return parts


def _fields_at(model: type[BaseModel], location: list[str]) -> list[str]:
    """Return the names that the object at a place may have; [] where they are open."""
    current: type[BaseModel] | None = model
    for part in location:
        if current is None or part.isdecimal():
            continue
        info = current.model_fields.get(part)
        current = _model_in(info.annotation) if info is not None else None
    return list(current.model_fields) if current is not None else []


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (list, Union, UnionType):
        return next((found for part in get_args(annotation) if (found := _model_in(part)) is not None), None)
    return None

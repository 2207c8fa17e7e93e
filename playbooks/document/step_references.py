"""References between the steps of a document: by number, by key, or in an expression.

Works on the JSON as stored, of any shape, so that expressions in unknown fields are found as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias, TypeGuard

from playbooks.common import json_pointer
from playbooks.common.json_pointer import join
from playbooks.common.values import Json, JsonObject
from playbooks.document.model import default_key
from playbooks.expressions import templates

Way: TypeAlias = Literal["number", "key", "expression"]

NUMBERS: tuple[str, ...] = ("/dependencies/*/depends_on_step_number", "/on_error/step")
"""Places where a step names another by number (patterns into the step)."""

_KEYS: tuple[str, ...] = (
    "/dependencies/*/depends_on",
    "/on_error/step",
    "/repeat/from",
    "/approval/return_to_step",
    "/approval/return_to_step/step",
    "/approval/different_from/*",
)
_STEP = re.compile(r"""(?<![\w.])steps\s*(?:\.\s*([A-Za-z_]\w*)|\[\s*(['"])(.*?)\2\s*\])""")
# Prose and schemas: `steps.x` in them is no reference.
_NO_EXPRESSIONS = frozenset({"name", "key", "description", "metadata", "input_contract", "output_contract"})


@dataclass(frozen=True, slots=True)
class Referrer:
    """A place that refers to a step: `target` is its number or key.

    `step` is the key of the step that holds the place, None for the playbook's `output`.
    """

    step: str | None
    pointer: str
    way: Way
    target: str | int


def numbers_in(step: Json) -> Iterator[tuple[str, int]]:
    """Yield each number by which a step refers to another, with its pointer into the step."""
    for pattern in NUMBERS:
        for pointer, value in json_pointer.find(step, pattern):
            if is_number(value):
                yield pointer, value


def key_of(step: Json) -> str | None:
    """Return the key of a step as stored; None where it has no valid key."""
    if not isinstance(step, dict):
        return None
    key, name, number = step.get("key"), step.get("name"), step.get("step_number")
    if isinstance(key, str) and key:
        return key
    return default_key(name, number) if isinstance(name, str) and is_number(number) else None


def is_number(value: object) -> TypeGuard[int]:
    """Return true if a value can be a step's number (in Python, `True` is an int)."""
    return type(value) is int


def referrers_in(document: JsonObject) -> tuple[Referrer, ...]:
    """Yield every place of a document that refers to a step, in its order, except references of a step to itself."""
    steps, output = document.get("steps"), document.get("output")
    found: list[Referrer] = []
    for index, step in enumerate(steps if isinstance(steps, list) else []):
        if isinstance(step, dict):
            own = (key_of(step), step.get("step_number"))
            named = (Referrer(own[0], f"/steps/{index}{place}", way, target) for place, way, target in _in_step(step))
            found += [each for each in named if each.target not in own]
    found += [Referrer(None, place, "expression", key) for place, key in _in_expressions(output, "/output")]
    return tuple(found)


def referrers_of(document: JsonObject, key: str, number: int | None) -> tuple[Referrer, ...]:
    """Return the places that refer to the step `key`, or to `number` unless that is None."""
    return tuple(
        each
        for each in referrers_in(document)
        if each.target == key or (each.way == "number" and each.target == number)
    )


def _in_step(step: JsonObject) -> Iterator[tuple[str, Way, str | int]]:
    for place, number in numbers_in(step):
        yield place, "number", number
    for pattern in _KEYS:
        for place, key in json_pointer.find(step, pattern):
            if isinstance(key, str):
                yield place, "key", key
    for name, value in step.items():
        if name not in _NO_EXPRESSIONS:
            for place, key in _in_expressions(value, join("", name)):
                yield place, "expression", key


def _in_expressions(value: Json, place: str) -> Iterator[tuple[str, str]]:
    for pointer, text in templates.texts(value, place):
        matches = (match for expression in _expressions(text) for match in _STEP.finditer(expression))
        for key in dict.fromkeys(match[1] or match[3] for match in matches):
            yield pointer, key


def _expressions(text: str) -> tuple[str, ...]:
    """Yield the possible expressions of a text: all of it (a bare condition), or the content of each `${...}`."""
    if "${" not in text:
        return (text,)
    try:
        return tuple(part.text for part in templates.split(text) if isinstance(part, templates.Expression))
    except templates.TemplateError:
        return (text,)

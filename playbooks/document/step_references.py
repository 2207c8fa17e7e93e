"""Where one step of a document names another: by number, by key, or in an expression.

Owns the list of these places. Must not know what a name is for, nor whether it leads anywhere. Works on the JSON as it
is stored, of any shape, so that fields of later versions are found where their expressions name a step.
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
"""Where a step names another by its number (patterns into the step)."""

_KEYS: tuple[str, ...] = (
    "/dependencies/*/depends_on",
    "/on_error/step",
    "/repeat/from",
    "/approval/return_to_step",
    "/approval/return_to_step/step",
    "/approval/different_from/*",
)
_STEP = re.compile(r"""(?<![\w.])steps\s*(?:\.\s*([A-Za-z_]\w*)|\[\s*(['"])(.*?)\2\s*\])""")
# Prose and schemas: `steps.x` in them names nothing.
_NO_EXPRESSIONS = frozenset({"name", "key", "description", "metadata", "input_contract", "output_contract"})


@dataclass(frozen=True, slots=True)
class Referrer:
    """A place that names a step: `target` is its number or key.

    `step` is the key of the step that holds the place, None for the playbook's `output`.
    """

    step: str | None
    pointer: str
    way: Way
    target: str | int


def numbers_in(step: Json) -> Iterator[tuple[str, int]]:
    """Each number by which a step names another, with its pointer into the step."""
    for pattern in NUMBERS:
        for pointer, value in json_pointer.find(step, pattern):
            if is_number(value):
                yield pointer, value


def key_of(step: Json) -> str | None:
    """The key of a step as it is stored; None where it is none."""
    if not isinstance(step, dict):
        return None
    key, name, number = step.get("key"), step.get("name"), step.get("step_number")
    if isinstance(key, str) and key:
        return key
    return default_key(name, number) if isinstance(name, str) and is_number(number) else None


def is_number(value: object) -> TypeGuard[int]:
    """Whether a value can be a step's number (in Python, true is an int)."""
    return type(value) is int


def referrers_in(document: JsonObject) -> tuple[Referrer, ...]:
    """Every place of a document that names a step, in its order. A step that names itself is not told."""
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
    """Those that name the step `key`; by number too, unless that is None."""
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
    """What of a text may be an expression: all of it (a bare condition), or what stands inside `${...}`."""
    if "${" not in text:
        return (text,)
    try:
        return tuple(part.text for part in templates.split(text) if isinstance(part, templates.Expression))
    except templates.TemplateError:
        return (text,)

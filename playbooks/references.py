"""Where one step of a document names another: by number, by key, or in an expression.

Owns the list of these places. Must not know what a name is for, nor whether it leads anywhere. Works on the JSON as it
is stored, of any shape, so that fields of later versions are found where their expressions name a step.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias, TypeGuard

from playbooks import pointers, templates
from playbooks.document import default_key
from playbooks.pointers import join
from playbooks.values import Json, JsonObject

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
# Prose and schemas: `steps.x` in them names nothing.
_NO_EXPRESSIONS = frozenset({"name", "key", "description", "metadata", "input_contract", "output_contract"})


@dataclass(frozen=True, slots=True)
class Referrer:
    """A place that names a step. `step` is the key of the step that holds it, None for the playbook's `output`."""

    step: str | None
    pointer: str
    way: Way


def numbers_in(step: Json) -> Iterator[tuple[str, int]]:
    """Each number by which a step names another, with its pointer into the step."""
    for pattern in NUMBERS:
        for pointer, value in pointers.find(step, pattern):
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


def referrers_of(document: JsonObject, key: str, number: int | None) -> tuple[Referrer, ...]:
    """Every place that names the step `key`, in the order of the document; by number too, unless that is None.

    A step that names itself is not told.
    """
    steps, output = document.get("steps"), document.get("output")
    found: list[Referrer] = []
    for index, step in enumerate(steps if isinstance(steps, list) else []):
        holder = key_of(step)
        if holder != key:
            named = _in_step(step, key, number)
            found += [Referrer(holder, f"/steps/{index}{place}", way) for place, way in named]
    found += [Referrer(None, place, "expression") for place in _in_expressions(output, "/output", key)]
    return tuple(found)


def _in_step(step: Json, key: str, number: int | None) -> Iterator[tuple[str, Way]]:
    if not isinstance(step, dict):
        return
    for place, given in numbers_in(step):
        if given == number:
            yield place, "number"
    for pattern in _KEYS:
        for place, given in pointers.find(step, pattern):
            if given == key:
                yield place, "key"
    for name, value in step.items():
        if name not in _NO_EXPRESSIONS:
            for place in _in_expressions(value, join("", name), key):
                yield place, "expression"


def _in_expressions(value: Json, place: str, key: str) -> Iterator[str]:
    pattern = re.compile(rf"""(?<![\w.])steps\s*(?:\.\s*{re.escape(key)}\b|\[\s*(['"]){re.escape(key)}\1\s*\])""")
    for pointer, text in templates.texts(value, place):
        if any(pattern.search(expression) for expression in _expressions(text)):
            yield pointer


def _expressions(text: str) -> tuple[str, ...]:
    """What of a text may be an expression: all of it (a bare condition), or what stands inside `${...}`."""
    if "${" not in text:
        return (text,)
    try:
        return tuple(part.text for part in templates.split(text) if isinstance(part, templates.Expression))
    except templates.TemplateError:
        return (text,)

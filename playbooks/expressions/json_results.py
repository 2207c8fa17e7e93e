"""Results of expressions as JSON, bounded in size.

Invariant: equal values give equal JSON in every process: names are sorted, as the engine's own map order differs.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Protocol, cast

from playbooks.common.values import Json
from playbooks.expressions.references import Growth

MAX_RESULT_ITEMS = 200_000
MAX_RESULT_CHARACTERS = 4_000_000
MAX_GROWTH_BYTES = 256 * 1024 * 1024
ENGINE_ITERATIONS = 10_000
_LITERAL_ITEMS = 1_000


class EngineValue(Protocol):
    """The part of the engine's value that is used here."""

    def value(self) -> object: ...


class NotJsonError(ValueError):
    """A value that JSON cannot hold, or one that is too big; the message names its kind, never the value."""


class _Budget:
    """Counts what a result holds: macros can make an answer much larger than what they read."""

    def __init__(self) -> None:
        self.items = MAX_RESULT_ITEMS
        self.characters = MAX_RESULT_CHARACTERS

    def spend(self, characters: int = 0) -> None:
        self.items -= 1
        self.characters -= characters
        if self.items < 0 or self.characters < 0:
            raise NotJsonError("a result that is too large")


def to_json(value: EngineValue) -> Json:
    """Return the JSON of an engine's value; NotJsonError where there is none."""
    return _convert(value.value(), _Budget())


def describe(value: Json) -> str:
    """Return the kind of a value in words; never the value, which may be secret."""
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int():
            return "a whole number"
        case float():
            return "a decimal"
        case str():
            return "text"
        case list():
            return "a list"
        case _:
            return "an object"


def is_excessive(growth: Growth, values: Iterable[Json]) -> bool:
    """Return True where an expression over these values could need more memory than `MAX_GROWTH_BYTES`.

    The engine bounds iterations, not memory: joining a long text in each iteration of a macro would exhaust it.
    """
    if not growth.copies:
        return False
    longest, items = _extent(values)
    # A list written in the expression is short; macros within macros share the engine's budget of iterations.
    turns = 1 if not growth.loops else ENGINE_ITERATIONS if growth.loops > 1 else max(items, _LITERAL_ITEMS)
    return (growth.copies + 1) * longest * min(turns, ENGINE_ITERATIONS) > MAX_GROWTH_BYTES


def _extent(values: Iterable[Json]) -> tuple[int, int]:
    """Return the length of the longest text (or list, 16 bytes an item), and the most items in one place."""
    longest = most = 0
    stack = list(values)
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            longest = max(longest, len(item))
        elif isinstance(item, (list, dict)):
            most = max(most, len(item))
            stack.extend(item.values() if isinstance(item, dict) else item)
    return max(longest, 16 * most), most


def _convert(value: object, budget: _Budget) -> Json:
    if isinstance(value, dict):
        return _convert_map(cast("dict[object, EngineValue]", value), budget)
    if isinstance(value, list):
        budget.spend()
        return [_convert(item.value(), budget) for item in cast("list[EngineValue]", value)]
    budget.spend(len(value) if isinstance(value, (str, bytes, bytearray)) else 0)
    return _convert_scalar(value)


def _convert_map(value: dict[object, EngineValue], budget: _Budget) -> Json:
    budget.spend()
    names = [name for name in value if isinstance(name, str)]
    if len(names) != len(value):
        raise NotJsonError("an object with names that are not text")
    return {_text(name): _convert(value[name].value(), budget) for name in sorted(names)}


def _convert_scalar(value: object) -> Json:
    match value:
        case None | bool() | int():
            return value
        case float():
            if not math.isfinite(value):
                raise NotJsonError("a number that is not finite")
            return value
        case str():
            return _text(value)
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case timedelta():
            return f"{value.total_seconds():.9f}".rstrip("0").rstrip(".") + "s"
        case bytes() | bytearray():
            return base64.b64encode(value).decode()
        case _:
            raise NotJsonError("something that is not JSON")


def _text(text: str) -> str:
    if "\0" in text:
        raise NotJsonError("a text with a NUL character")
    return text

"""Merges two JSON Schemas into one that requires both, as far as generating a value needs it.

Of keywords that cannot be combined the second's is kept; the generated value is validated at the end.
"""

from __future__ import annotations

from collections.abc import Callable

from playbooks.common.values import Json, JsonObject


def merged(first: JsonObject, second: Json) -> JsonObject:
    """Merge `first` and `second`. True requires nothing; False, which no value fits, becomes an empty enum."""
    if isinstance(second, bool):
        return first if second else {**first, "enum": []}
    if not isinstance(second, dict):
        return first
    result = dict(first)
    for keyword, value in second.items():
        combine = _COMBINED.get(keyword)
        result[keyword] = combine(result[keyword], value) if combine and keyword in result else value
    return result


def _both(first: Json, second: Json) -> Json:
    """Return the fields of either; a field of both has to satisfy both."""
    if not isinstance(first, dict) or not isinstance(second, dict):
        return second
    shared: JsonObject = {name: {"allOf": [first[name], second[name]]} for name in first.keys() & second.keys()}
    return {**first, **second, **{name: shared[name] for name in first if name in shared}}


def _union(first: Json, second: Json) -> Json:
    if not isinstance(first, list) or not isinstance(second, list):
        return second
    return [*first, *(item for item in second if item not in first)]


def _shared(first: Json, second: Json) -> Json:
    left = first if isinstance(first, list) else [first]
    right = second if isinstance(second, list) else [second]
    found: list[Json] = [item for item in left if item in right]
    # An integer is a number.
    if not found and {"integer", "number"} <= {str(item) for item in (*left, *right)}:
        found = ["integer"]
    return found[0] if len(found) == 1 and not isinstance(first, list) else found


def _larger(first: Json, second: Json) -> Json:
    return max(first, second) if isinstance(first, int | float) and isinstance(second, int | float) else second


def _smaller(first: Json, second: Json) -> Json:
    return min(first, second) if isinstance(first, int | float) and isinstance(second, int | float) else second


_COMBINED: dict[str, Callable[[Json, Json], Json]] = {
    "properties": _both,
    "$defs": _both,
    "required": _union,
    "allOf": _union,
    "enum": _shared,
    "type": _shared,
    **dict.fromkeys(("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"), _larger),
    **dict.fromkeys(("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"), _smaller),
}

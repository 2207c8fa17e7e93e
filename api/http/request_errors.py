"""Translation of the web framework's validation errors into problems: pointers, codes, messages.

Invariant: no message repeats a value, because it may be secret.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from fastapi.exceptions import RequestValidationError

from playbooks.common.errors import Problem
from playbooks.common.json_pointer import join

MISSING_RESOURCE = "there is no such thing"

_CODES: Mapping[str, str] = {
    "extra_forbidden": "UNKNOWN_FIELD",
    "missing": "REQUIRED",
    "literal_error": "NOT_ALLOWED",
    "enum": "NOT_ALLOWED",
    "string_too_long": "LENGTH",
    "string_too_short": "LENGTH",
    "too_long": "LENGTH",
    "too_short": "LENGTH",
    "string_pattern_mismatch": "PATTERN",
    "greater_than": "OUT_OF_RANGE",
    "greater_than_equal": "OUT_OF_RANGE",
    "less_than": "OUT_OF_RANGE",
    "less_than_equal": "OUT_OF_RANGE",
}
_MAX_PROBLEMS = 50


def is_wrong_path(error: RequestValidationError) -> bool:
    """Return whether a path parameter is invalid."""
    return any(_place(item)[:1] == ("path",) for item in _items(error))


def is_malformed(error: RequestValidationError) -> bool:
    """Return whether the body is not JSON."""
    return any(item.get("type") == "json_invalid" for item in _items(error))


def problems_of(error: RequestValidationError) -> tuple[Problem, ...]:
    """Return one problem for each finding. The pointer is into the body, or names the query parameter or header."""
    return tuple(_problem(item) for item in _items(error)[:_MAX_PROBLEMS])


def _problem(item: Mapping[str, Any]) -> Problem:
    place, kind = _place(item), str(item.get("type", ""))
    path = place[1:] if place[:1] == ("body",) else place
    return Problem(
        pointer=join("", *path),
        code=_CODES.get(kind, "WRONG_TYPE" if kind.endswith("_type") else "INVALID_VALUE"),
        message=_message(item, kind),
    )


def _message(item: Mapping[str, Any], kind: str) -> str:
    if kind == "extra_forbidden":
        return "there is no such field"
    if kind == "missing":
        return "it is missing"
    return str(item.get("msg", "it is not valid"))


def _place(item: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(part) for part in cast("Sequence[str | int]", item.get("loc", ())))


def _items(error: RequestValidationError) -> Sequence[Mapping[str, Any]]:
    return cast("Sequence[Mapping[str, Any]]", error.errors())

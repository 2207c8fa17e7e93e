"""HERA's object form of a condition: `{field, operator, value}`.

Comparing values of different kinds is an error, except for equality, where it is false.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from playbooks.common.errors import Problem
from playbooks.common.errors import error as problem
from playbooks.common.json_pointer import join
from playbooks.common.values import Json, Path
from playbooks.expressions.json_results import describe
from playbooks.expressions.templates import bare_path


class IncomparableError(ValueError):
    """Values that have no order, or an operand of the wrong kind."""


class _Absent:
    pass


ABSENT: Final = _Absent()
"""Represents an absent field, for the operators that test presence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    path: Path
    operator: str
    value: Json = None

    @property
    def tests_presence(self) -> bool:
        """True where the field may be absent."""
        return self.operator in ("exists", "not_exists")


def read(condition: Json, pointer: str = "", names: tuple[str, ...] = ()) -> Comparison | Problem:
    """Read a condition in object form; a Problem where it is not valid. Empty `names`: any."""
    if not isinstance(condition, dict):
        return problem(pointer, "INVALID_CONDITION", "a condition is CEL text or an object {field, operator, value}")
    for name in condition:
        if name not in ("field", "operator", "value"):
            return problem(join(pointer, name), "UNKNOWN_FIELD", f"a condition has no field '{name}'")
    path = _path(condition.get("field"), f"{pointer}/field", names)
    if isinstance(path, Problem):
        return path
    given = condition.get("operator")
    operator = _ALIASES.get(given, given) if isinstance(given, str) else None
    if operator not in _OPERATORS:
        close = get_close_matches(str(given), [*_OPERATORS, *_ALIASES], 1)
        known = f"one of {', '.join(_OPERATORS)}"
        suggestion = f"did you mean '{close[0]}'?" if close else known
        return problem(f"{pointer}/operator", "UNKNOWN_OPERATOR", f"the operator has to be {known}", suggestion)
    presence = operator in ("exists", "not_exists")
    if presence == ("value" in condition):
        message = f"'{operator}' takes no value" if presence else f"'{operator}' needs a value"
        return problem(f"{pointer}/value", "INVALID_CONDITION", message)
    return Comparison(path=path, operator=operator, value=condition.get("value"))


def compare(operator: str, left: Json | _Absent, right: Json) -> bool:
    """Evaluate `left operator right`. IncomparableError where the two cannot be compared."""
    if isinstance(left, _Absent):
        return operator == "not_exists"
    return _OPERATORS[operator](left, right)


def _path(field: Json, pointer: str, names: tuple[str, ...]) -> Path | Problem:
    path = bare_path(field) if isinstance(field, str) else None
    if path is None:
        return problem(pointer, "INVALID_CONDITION", "the field has to be a path such as input.amount")
    if names and path[0] not in names:
        message = f"a path begins with one of {', '.join(names)}"
        return problem(pointer, "UNKNOWN_REFERENCE", message, f"write input.{field}")
    return path


def _is_number(value: Json) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _equal(left: Json, right: Json) -> bool:
    if _is_number(left) and _is_number(right):
        return left == right
    # Python holds True == 1, JSON does not; the canonical text tells them apart at every depth.
    return json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)


def _order(left: Json, right: Json) -> int:
    if isinstance(left, str) and isinstance(right, str):
        return (left > right) - (left < right)
    if isinstance(left, bool) or isinstance(right, bool):
        raise IncomparableError("true and false have no order")
    if isinstance(left, (int, float)) and isinstance(right, (int, float)):
        return (left > right) - (left < right)
    raise IncomparableError(f"{describe(left)} and {describe(right)} have no order")


def _is_in(left: Json, right: Json) -> bool:
    if isinstance(right, list):
        return any(_equal(left, item) for item in right)
    raise IncomparableError(f"'in' needs a list, not {describe(right)}")


def _contains(left: Json, right: Json) -> bool:
    if isinstance(left, list):
        return _is_in(right, left)
    if isinstance(left, str) and isinstance(right, str):
        return right in left
    if isinstance(left, dict) and isinstance(right, str):
        return right in left
    raise IncomparableError(f"{describe(left)} cannot contain {describe(right)}")


def _text_test(left: Json, right: Json, test: Callable[[str, str], bool]) -> bool:
    if isinstance(left, str) and isinstance(right, str):
        return test(left, right)
    raise IncomparableError(f"a text is needed on both sides, not {describe(left)} and {describe(right)}")


_OPERATORS: dict[str, Callable[[Json, Json], bool]] = {
    "equals": _equal,
    "not_equals": lambda left, right: not _equal(left, right),
    "greater_than": lambda left, right: _order(left, right) > 0,
    "greater_than_or_equal": lambda left, right: _order(left, right) >= 0,
    "less_than": lambda left, right: _order(left, right) < 0,
    "less_than_or_equal": lambda left, right: _order(left, right) <= 0,
    "in": _is_in,
    "not_in": lambda left, right: not _is_in(left, right),
    "contains": _contains,
    "not_contains": lambda left, right: not _contains(left, right),
    "starts_with": lambda left, right: _text_test(left, right, str.startswith),
    "ends_with": lambda left, right: _text_test(left, right, str.endswith),
    "exists": lambda _left, _right: True,
    "not_exists": lambda _left, _right: False,
}

_ALIASES: dict[str, str] = {
    "==": "equals",
    "=": "equals",
    "eq": "equals",
    "!=": "not_equals",
    "ne": "not_equals",
    ">": "greater_than",
    "gt": "greater_than",
    ">=": "greater_than_or_equal",
    "gte": "greater_than_or_equal",
    "<": "less_than",
    "lt": "less_than",
    "<=": "less_than_or_equal",
    "lte": "less_than_or_equal",
}

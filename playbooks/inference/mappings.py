"""Types of mappings (`${...}` in JSON) and of conditions in either form, from the types of the names they read."""

from __future__ import annotations

from dataclasses import dataclass, replace

from playbooks.common.errors import Problem
from playbooks.common.json_pointer import join as join_pointer
from playbooks.common.values import Json
from playbooks.expressions import cel, comparisons, templates
from playbooks.expressions.comparisons import Comparison
from playbooks.inference import operations
from playbooks.inference.environment import Mismatch, Names
from playbooks.inference.infer import infer
from playbooks.inference.value_types import (
    ALL_KINDS,
    ANY,
    BOOL,
    TEXT,
    Kind,
    ValueType,
    describe,
    join,
    of_kind,
    truth,
)

_JSON_KINDS: dict[Kind, Kind] = {"timestamp": "string", "duration": "string", "bytes": "string", "uint": "int"}
"""JSON kinds of values that only the expression language has."""


@dataclass(frozen=True, slots=True)
class Inferred:
    """The type of a mapping or condition, and what in it does not fit, with the pointer of the text."""

    type: ValueType
    mismatches: tuple[tuple[str, Mismatch], ...] = ()


def expression(text: str, pointer: str, names: Names) -> Inferred:
    """Infer the type of CEL text; any, where it is not valid (`cel.check` reports that)."""
    node = cel.tree(text)
    if node is None:
        return Inferred(ANY)
    found, mismatches = infer(node, names)
    return Inferred(found, tuple((pointer, mismatch) for mismatch in mismatches))


def condition(value: Json, pointer: str, names: Names) -> Inferred:
    """Infer the type of a condition in either form."""
    if isinstance(value, str):
        return expression(value, pointer, names)
    read = comparisons.read(value, pointer)
    return Inferred(BOOL) if isinstance(read, Problem) else _comparison(read, pointer, names)


def mapping(value: Json, pointer: str, names: Names) -> Inferred:
    """Infer the type of a mapping, with every `${...}` in it."""
    if templates.is_too_deep(value):
        return Inferred(ANY)
    match value:
        case str():
            return _text(value, pointer, names)
        case dict():
            parts = {name: mapping(part, join_pointer(pointer, name), names) for name, part in value.items()}
            fields = {name: part.type for name, part in parts.items()}
            return Inferred(replace(of_kind("map"), fields=fields), _mismatches(*parts.values()))
        case list():
            items = [mapping(part, f"{pointer}/{index}", names) for index, part in enumerate(value)]
            types = tuple(item.type for item in items)
            return Inferred(replace(of_kind("list"), items=types, element=join(types)), _mismatches(*items))
        case _:
            return Inferred(_scalar(value))


def _text(text: str, pointer: str, names: Names) -> Inferred:
    if "${" not in text:
        return Inferred(replace(TEXT, values=(text,)))
    try:
        parts = templates.split(text)
    except templates.TemplateError:
        return Inferred(ANY)
    inner = [expression(part.text, pointer, names) for part in parts if isinstance(part, templates.Expression)]
    if len(parts) == 1 and inner:
        return replace(inner[0], type=_as_json(inner[0].type))
    return Inferred(TEXT, _mismatches(*inner))


def _scalar(value: float | bool | None) -> ValueType:
    kind: Kind = "null"
    if isinstance(value, bool):
        kind = "bool"
    elif value is not None:
        kind = "int" if isinstance(value, int) else "double"
    return ValueType(kinds=frozenset((kind,)), values=(value,))


def _as_json(value_type: ValueType) -> ValueType:
    if value_type.kinds == ALL_KINDS or not value_type.kinds & _JSON_KINDS.keys():
        return value_type
    return ValueType(kinds=frozenset(_JSON_KINDS.get(kind, kind) for kind in value_type.kinds))


def _mismatches(*parts: Inferred) -> tuple[tuple[str, Mismatch], ...]:
    return tuple(found for part in parts for found in part.mismatches)


# -- the object form -------------------------------------------------------------------------------------------------


def _comparison(read: Comparison, pointer: str, names: Names) -> Inferred:
    left = names.get(read.path[0], ANY)
    for name in read.path[1:]:
        if "map" not in left.kinds:
            mismatch = Mismatch(f"{describe(left)} has no field '{name}'")
            return Inferred(BOOL, ((f"{pointer}/field", mismatch),))
        left = operations.member(left, name)
    if read.tests_presence:
        return Inferred(BOOL)
    right = mapping(read.value, f"{pointer}/value", names)
    outcomes = _outcomes(read.operator, left, right.type)
    if not outcomes:
        message = f"'{read.operator}' does not fit: '{'.'.join(read.path)}' is {describe(left)}"
        mismatch = Mismatch(f"{message}, the value {describe(right.type)}")
        return Inferred(BOOL, (*right.mismatches, (f"{pointer}/value", mismatch)))
    return Inferred(truth(outcomes), right.mismatches)


_FUNCTIONS = {
    "equals": "_==_",
    "not_equals": "_!=_",
    "greater_than": "_>_",
    "greater_than_or_equal": "_>=_",
    "less_than": "_<_",
    "less_than_or_equal": "_<=_",
}


def _outcomes(operator: str, left: ValueType, right: ValueType) -> frozenset[bool]:
    """Return the possible outcomes of an operator; none where the two never fit it."""
    match operator:
        case "in" | "not_in":
            found = operations.compare("@in", left, right) if "list" in right.kinds else operations.NONE
            return frozenset(outcome is (operator == "in") for outcome in found)
        case "contains" | "not_contains":
            fits = "list" in left.kinds or (bool(left.kinds & {"string", "map"}) and "string" in right.kinds)
        case "starts_with" | "ends_with":
            fits = "string" in left.kinds and "string" in right.kinds
        case _:
            return operations.compare(_FUNCTIONS[operator], left, right)
    return operations.BOTH if fits else operations.NONE

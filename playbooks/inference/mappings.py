"""What a mapping or a condition can give, from what is known of the names it reads.

Owns the way from `${...}` in JSON, and from `{field, operator, value}`, to what is known. Must not know steps.
Invariant: as in `known`: what is not known may be anything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from playbooks.common.errors import Problem
from playbooks.common.json_pointer import join as join_pointer
from playbooks.common.values import Json
from playbooks.expressions import cel, comparisons, templates
from playbooks.expressions.comparisons import Comparison
from playbooks.inference import operations
from playbooks.inference.infer import Mismatch, Names, typed
from playbooks.inference.value_types import (
    ALL_KINDS,
    ANYTHING,
    EITHER,
    TEXT,
    Kind,
    Known,
    in_words,
    join,
    of_kind,
    truth,
)

_WRITTEN: dict[Kind, Kind] = {"timestamp": "string", "duration": "string", "bytes": "string", "uint": "int"}
"""How a value of the expression language that JSON does not have leaves it."""


@dataclass(frozen=True, slots=True)
class Typed:
    """What a place can give, and what in it does not fit, with the pointer of the text."""

    known: Known
    mismatches: tuple[tuple[str, Mismatch], ...] = ()


def expression(text: str, pointer: str, names: Names) -> Typed:
    """CEL text. Where it is not valid, `expressions.check` says so, and nothing is known."""
    node = cel.tree(text)
    if node is None:
        return Typed(ANYTHING)
    known, found = typed(node, names)
    return Typed(known, tuple((pointer, mismatch) for mismatch in found))


def condition(value: Json, pointer: str, names: Names) -> Typed:
    """A condition in either form."""
    if isinstance(value, str):
        return expression(value, pointer, names)
    read = comparisons.read(value, pointer)
    return Typed(EITHER) if isinstance(read, Problem) else _comparison(read, pointer, names)


def mapping(value: Json, pointer: str, names: Names) -> Typed:
    """A mapping, with every `${...}` in it."""
    if templates.is_too_deep(value):
        return Typed(ANYTHING)
    match value:
        case str():
            return _text(value, pointer, names)
        case dict():
            parts = {name: mapping(part, join_pointer(pointer, name), names) for name, part in value.items()}
            fields = {name: part.known for name, part in parts.items()}
            return Typed(replace(of_kind("map"), fields=fields), _gathered(*parts.values()))
        case list():
            items = [mapping(part, f"{pointer}/{index}", names) for index, part in enumerate(value)]
            known = tuple(item.known for item in items)
            return Typed(replace(of_kind("list"), items=known, element=join(known)), _gathered(*items))
        case _:
            return Typed(_scalar(value))


def _text(text: str, pointer: str, names: Names) -> Typed:
    if "${" not in text:
        return Typed(replace(TEXT, values=(text,)))
    try:
        parts = templates.split(text)
    except templates.TemplateError:
        return Typed(ANYTHING)
    inner = [expression(part.text, pointer, names) for part in parts if isinstance(part, templates.Expression)]
    if len(parts) == 1 and inner:
        return replace(inner[0], known=_as_json(inner[0].known))
    return Typed(TEXT, _gathered(*inner))


def _scalar(value: float | bool | None) -> Known:
    kind: Kind = "null"
    if isinstance(value, bool):
        kind = "bool"
    elif value is not None:
        kind = "int" if isinstance(value, int) else "double"
    return Known(kinds=frozenset((kind,)), values=(value,))


def _as_json(known: Known) -> Known:
    if known.kinds == ALL_KINDS or not known.kinds & _WRITTEN.keys():
        return known
    return Known(kinds=frozenset(_WRITTEN.get(kind, kind) for kind in known.kinds))


def _gathered(*parts: Typed) -> tuple[tuple[str, Mismatch], ...]:
    return tuple(found for part in parts for found in part.mismatches)


# -- the object form -------------------------------------------------------------------------------------------------


def _comparison(read: Comparison, pointer: str, names: Names) -> Typed:
    left = names.get(read.path[0], ANYTHING)
    for name in read.path[1:]:
        if "map" not in left.kinds:
            told = Mismatch(f"{in_words(left)} has no field '{name}'")
            return Typed(EITHER, ((f"{pointer}/field", told),))
        left = operations.member(left, name)
    if read.tests_presence:
        return Typed(EITHER)
    right = mapping(read.value, f"{pointer}/value", names)
    if not _FITS.get(read.operator, _text_fits)(left, right.known):
        message = f"'{read.operator}' does not fit: '{'.'.join(read.path)}' is {in_words(left)}"
        told = Mismatch(f"{message}, the value {in_words(right.known)}")
        return Typed(EITHER, (*right.mismatches, (f"{pointer}/value", told)))
    return Typed(truth(_outcomes(read.operator, left, right.known)), right.mismatches)


def _outcomes(operator: str, left: Known, right: Known) -> frozenset[bool]:
    is_negated = operator.startswith("not_")
    match operator.removeprefix("not_"):
        case "equals":
            found = operations.equality(left, right) if operations.are_alike(left, right) else operations.NO
        case "in":
            found = operations.membership(left, right.items) if right.items is not None else operations.BOTH
        case name if name in _SYMBOLS:
            return operations.order(_SYMBOLS[name], left, right)
        case _:
            return operations.BOTH
    return frozenset(outcome is not is_negated for outcome in found)


_SYMBOLS = {"greater_than": ">", "greater_than_or_equal": ">=", "less_than": "<", "less_than_or_equal": "<="}


def _equal_fits(left: Known, right: Known) -> bool:
    return operations.are_alike(left, right) or "null" in left.kinds | right.kinds


def _in_fits(left: Known, right: Known) -> bool:
    items = right.items
    return "list" in right.kinds and (not items or any(operations.are_alike(left, item) for item in items))


def _contains_fits(left: Known, right: Known) -> bool:
    return "list" in left.kinds or (bool(left.kinds & {"string", "map"}) and "string" in right.kinds)


def _text_fits(left: Known, right: Known) -> bool:
    return "string" in left.kinds and "string" in right.kinds


_FITS: dict[str, Callable[[Known, Known], bool]] = {
    "equals": _equal_fits,
    "not_equals": _equal_fits,
    "in": _in_fits,
    "not_in": _in_fits,
    "contains": _contains_fits,
    "not_contains": _contains_fits,
    **dict.fromkeys(_SYMBOLS, operations.have_order),
}

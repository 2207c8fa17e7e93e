"""Outcomes of comparing, selecting and looking up, for values of which only the type is known.

Invariant: an outcome is left out only where it cannot happen.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import product

from playbooks.inference import from_schema
from playbooks.inference.signatures import ORDERED
from playbooks.inference.value_types import ANY, MAX_VALUES, NUMBERS, Kind, ValueType, is_same, kinds, meet

BOTH = frozenset((True, False))
YES = frozenset((True,))
NO = frozenset((False,))
NONE = frozenset[bool]()


def member(value_type: ValueType, name: str) -> ValueType:
    """Return the type of the field `name` of an object."""
    found = (value_type.fields or {}).get(name, ANY)
    for part in value_type.contracts:
        found = meet(found, from_schema.member_type(part, name))
    return ANY if found.is_empty else found


def element(value_type: ValueType) -> ValueType:
    """Return the type of each item of a list."""
    found = value_type.element or ANY
    for part in value_type.contracts:
        found = meet(found, from_schema.item_type(part))
    return ANY if found.is_empty else found


def compare(function: str, left: ValueType, right: ValueType) -> frozenset[bool]:
    """Return the possible outcomes of a comparison (`_==_`, `_<_`, `@in`, ...); none where the two never fit it."""
    match function:
        case "_==_" | "_!=_":
            if not _are_alike(left, right) and "null" not in left.kinds | right.kinds:
                return NONE
            return frozenset(outcome is (function == "_==_") for outcome in _equality(left, right))
        case "@in" if right.is_only("list") and right.items is not None:
            fits = not right.items or any(_are_alike(left, item) for item in right.items)
            return _membership(left, right.items) if fits else NONE
        case "@in":
            return BOTH if right.kinds & kinds("list", "map") else NONE
        case _:
            return _order(function, left, right)


def _are_alike(left: ValueType, right: ValueType) -> bool:
    """Return True where the two can be of one kind; all numbers count as one."""
    return bool(_wide(left.kinds) & _wide(right.kinds))


def _equality(left: ValueType, right: ValueType) -> frozenset[bool]:
    """Return the possible outcomes of `left == right`."""
    if not _are_alike(left, right):
        return NO
    if left.values is not None and right.values is not None:
        if len(left.values) * len(right.values) > MAX_VALUES * MAX_VALUES:
            return BOTH
        return frozenset(is_same(first, second) for first, second in product(left.values, right.values))
    for one, other in ((left, right), (right, left)):
        if one.values is not None and not any(other.may_be(value) for value in one.values):
            return NO
    if left.is_number and right.is_number and (_is_before(left, right) or _is_before(right, left)):
        return NO
    return BOTH


def _membership(left: ValueType, items: Iterable[ValueType]) -> frozenset[bool]:
    """Return the possible outcomes of `left in items`."""
    listed = tuple(items)
    outcomes: set[bool] = set()
    for single in [left] if left.values is None else [replace(left, values=(value,)) for value in left.values]:
        each = [_equality(single, item) for item in listed]
        outcomes |= YES if YES in each else BOTH if BOTH in each else NO
    return frozenset(outcomes)


def _order(function: str, left: ValueType, right: ValueType) -> frozenset[bool]:
    if not (left.is_number and right.is_number):
        fits = left.kinds & right.kinds & ORDERED or (left.kinds & NUMBERS and right.kinds & NUMBERS)
        return BOTH if fits else NONE
    if function in ("_>_", "_>=_"):
        return _order(function.replace(">", "<"), right, left)
    if _is_before(left, right, or_equal=function == "_<=_"):
        return YES
    return NO if _is_before(right, left, or_equal=function == "_<_") else BOTH


def may_mix(left: ValueType, right: ValueType) -> bool:
    """Return True where one number may be whole and the other a decimal, which the engine does not calculate with."""
    first, second = _usual(left), _usual(right)
    mixes = ("int" in first and "double" in second) or ("double" in first and "int" in second)
    return mixes and left.is_number and right.is_number


def _is_before(left: ValueType, right: ValueType, *, or_equal: bool = False) -> bool:
    """Return True where all numbers of `left` are smaller than (or equal to) all of `right`."""
    high, low = left.limits[1], right.limits[0]
    return high < low or (or_equal and high == low)


def _usual(value_type: ValueType) -> frozenset[Kind]:
    return frozenset(("int",)) if value_type.is_whole else value_type.kinds


def _wide(kinds: frozenset[Kind]) -> frozenset[Kind]:
    return kinds | NUMBERS if kinds & NUMBERS else kinds

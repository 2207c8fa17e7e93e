"""What comparing, taking apart and looking up can give, for values of which only something is known.

Owns that arithmetic. Must not know expressions. Invariant: an outcome is left out only where it cannot happen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import product
from operator import ge, gt, le, lt

from playbooks.inference import from_schema
from playbooks.inference.signatures import ORDERED
from playbooks.inference.value_types import ANYTHING, MAX_VALUES, NUMBERS, Bound, Kind, Known, meet, same, within

BOTH = frozenset((True, False))
NO = frozenset((False,))
_ORDERS: dict[str, Callable[..., bool]] = {"<": lt, "<=": le, ">": gt, ">=": ge}


def member(known: Known, name: str) -> Known:
    """What is known of the field `name` of an object."""
    found = (known.fields or {}).get(name, ANYTHING)
    for part in known.contracts:
        found = meet(found, from_schema.field_of(part, name))
    return ANYTHING if found.is_impossible else found


def element(known: Known) -> Known:
    """What is known of each item of a list."""
    found = known.element or ANYTHING
    for part in known.contracts:
        found = meet(found, from_schema.element_of(part))
    return ANYTHING if found.is_impossible else found


def are_alike(left: Known, right: Known) -> bool:
    """Whether the two can be of one kind at all; numbers are, whole or not."""
    return bool(_wide(left.kinds) & _wide(right.kinds))


def equality(left: Known, right: Known) -> frozenset[bool]:
    """Whether the two may be equal, may be different."""
    if left.values is not None and right.values is not None and _few(left, right):
        return frozenset(same(first, second) for first, second in product(left.values, right.values))
    for one, other in ((left, right), (right, left)):
        if one.values is not None and not any(within(value, other) for value in one.values if value is not None):
            return BOTH if None in one.values and "null" in other.kinds else NO
    if left.is_number and right.is_number and (_ends_before(left, right) or _ends_before(right, left)):
        return NO
    return BOTH


def membership(left: Known, items: Iterable[Known]) -> frozenset[bool]:
    """Whether a value may be one of a list's items, may be none of them."""
    if left.values is None:
        return BOTH if any(True in equality(left, item) for item in items if are_alike(left, item)) else NO
    listed = tuple(items)
    outcomes: set[bool] = set()
    for value in left.values:
        single = Known(kinds=left.kinds, values=(value,))
        each = [equality(single, item) if are_alike(single, item) else NO for item in listed]
        outcomes |= {True} if frozenset((True,)) in each else BOTH if BOTH in each else NO
    return frozenset(outcomes)


def have_order(left: Known, right: Known) -> bool:
    """Whether there are kinds of the two that can be compared."""
    shared = left.kinds & right.kinds & ORDERED
    return bool(shared) or bool(left.kinds & NUMBERS and right.kinds & NUMBERS)


def order(symbol: str, left: Known, right: Known) -> frozenset[bool]:
    """Whether `left < right` (or another comparison) may hold, may not hold."""
    if not (left.is_number and right.is_number):
        return BOTH
    if left.values is not None and right.values is not None and _few(left, right):
        return frozenset(_ORDERS[symbol](first, second) for first, second in product(left.values, right.values))
    left, right = _bounded(left), _bounded(right)
    if symbol in (">", ">="):
        left, right, symbol = right, left, symbol.replace(">", "<")
    # Now the question is whether left < right, or left <= right.
    if _ends_before(left, right) or (symbol == "<=" and _touch(left.high, right.low)):
        return frozenset((True,))
    if _ends_before(right, left) or (symbol == "<" and _touch(right.high, left.low)):
        return NO
    return BOTH


def may_mix(left: Known, right: Known) -> bool:
    """Whether one of two numbers may be whole and the other a decimal, which the engine does not calculate with."""
    first, second = _usual(left), _usual(right)
    return ("int" in first and "double" in second) or ("double" in first and "int" in second)


def _usual(known: Known) -> frozenset[Kind]:
    return frozenset(("int",)) if known.is_whole else known.kinds


def _wide(kinds: frozenset[Kind]) -> frozenset[Kind]:
    return kinds | NUMBERS if kinds & NUMBERS else kinds


def _few(left: Known, right: Known) -> bool:
    return len(left.values or ()) * len(right.values or ()) <= MAX_VALUES * MAX_VALUES


def _bounded(known: Known) -> Known:
    """With bounds that its listed values give."""
    numbers = [value for value in known.values or () if isinstance(value, (int, float))]
    if not numbers:
        return known
    return meet(known, Known(low=Bound(min(numbers)), high=Bound(max(numbers))))


def _ends_before(left: Known, right: Known) -> bool:
    """Whether all of the one lies below all of the other."""
    high, low = _bounded(left).high, _bounded(right).low
    if high is None or low is None:
        return False
    return high.value < low.value or (high.value == low.value and (high.is_open or low.is_open))


def _touch(high: Bound | None, low: Bound | None) -> bool:
    return high is not None and low is not None and high.value == low.value

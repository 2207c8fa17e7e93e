"""Types of values before a run: kinds, listed values, limits of numbers, types of parts.

Invariant: a type excludes only what cannot be; whatever is not known may be anything, so nothing that could work is
reported as wrong.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from playbooks.common.values import Json, JsonObject

Kind: TypeAlias = Literal[
    "null", "bool", "int", "double", "uint", "string", "bytes", "list", "map", "timestamp", "duration", "type"
]
Scalar: TypeAlias = str | int | float | bool | None


def kinds(*names: Kind) -> frozenset[Kind]:
    """Return a set of kinds."""
    return frozenset(names)


_DESCRIPTIONS: dict[Kind, str] = {
    "null": "null",
    "bool": "true or false",
    "int": "a whole number",
    "double": "a decimal",
    "uint": "an unsigned number",
    "string": "text",
    "bytes": "bytes",
    "list": "a list",
    "map": "an object",
    "timestamp": "an instant",
    "duration": "a duration",
    "type": "a type",
}
ALL_KINDS: frozenset[Kind] = frozenset(_DESCRIPTIONS)
NUMBERS: frozenset[Kind] = kinds("int", "double", "uint")
MAX_VALUES = 100
_EXACT = 2**53


@dataclass(frozen=True, slots=True)
class ContractPart:
    """A part of a contract that a value satisfies; `root` is where its references begin."""

    root: JsonObject
    part: JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueType:
    """What a value can be. `values`: all that it can be, where that is a short list.

    `low` and `high`: limits of the numbers among them, included. `is_whole`: these numbers are whole, though they may
    be written with a decimal point. `fields`, `items` and `element`: types of parts; `contracts` describe more of them.
    """

    kinds: frozenset[Kind] = ALL_KINDS
    values: tuple[Scalar, ...] | None = None
    low: float = -math.inf
    high: float = math.inf
    is_whole: bool = False
    contracts: tuple[ContractPart, ...] = ()
    fields: Mapping[str, ValueType] | None = None
    items: tuple[ValueType, ...] | None = None
    element: ValueType | None = None

    @property
    def only(self) -> tuple[Scalar] | None:
        """The one value that it can be."""
        return (self.values[0],) if self.values is not None and len(self.values) == 1 else None

    @property
    def is_empty(self) -> bool:
        """True where no value fits: the sources of the type contradict each other."""
        return not self.kinds or self.values == () or (self.is_number and self.low > self.high)

    @property
    def is_number(self) -> bool:
        return bool(self.kinds) and self.kinds <= NUMBERS

    @property
    def limits(self) -> tuple[float, float]:
        """The lowest and the highest number that it can be."""
        numbers = [value for value in self.values or () if isinstance(value, (int, float))]
        return (min(numbers), max(numbers)) if numbers else (self.low, self.high)

    def is_only(self, kind: Kind) -> bool:
        """Return True where it is of this kind, and no other."""
        return self.kinds == kinds(kind)

    def may_be(self, value: Scalar) -> bool:
        """Return True where the value is of this type, as far as kinds, listed values and limits tell."""
        if self.values is not None:
            return any(is_same(value, other) for other in self.values)
        if not kinds_of(value) & self.kinds:
            return False
        return isinstance(value, (str, bool)) or value is None or self.low <= value <= self.high


ANY = ValueType()
TRUE = ValueType(kinds=kinds("bool"), values=(True,))
FALSE = ValueType(kinds=kinds("bool"), values=(False,))
BOOL = ValueType(kinds=kinds("bool"))
TEXT = ValueType(kinds=kinds("string"))


def of_kind(*kinds: Kind) -> ValueType:
    """Return the type of all values of these kinds."""
    return ValueType(kinds=frozenset(kinds))


def truth(outcomes: Iterable[bool]) -> ValueType:
    """Return the type of a truth value with these outcomes."""
    found = set(outcomes)
    return BOOL if len(found) != 1 else TRUE if found.pop() else FALSE


def one_of(values: Iterable[Scalar]) -> ValueType:
    """Return the type of values listed in JSON, where a whole number may be written with a decimal point."""
    listed = tuple(values)
    found = frozenset[Kind]().union(*(kinds_of(value) for value in listed))
    return ValueType(kinds=found, values=listed if len(listed) <= MAX_VALUES else None)


def kinds_of(value: Json) -> frozenset[Kind]:
    """Return the kinds that a JSON value can have for the engine."""
    match value:
        case None:
            return kinds("null")
        case bool():
            return kinds("bool")
        case int() | float():
            return kinds("int", "double")
        case str():
            return kinds("string")
        case list():
            return kinds("list")
        case _:
            return kinds("map")


def is_same(left: Scalar, right: Scalar) -> bool:
    """Return True where two values are equal in JSON: 1 is 1.0, but not true."""
    return isinstance(left, bool) is isinstance(right, bool) and left == right


def above(number: float) -> float:
    """Return the lowest limit that excludes a number; one too big for a decimal to be exact is not excluded."""
    return math.nextafter(number, math.inf) if abs(number) < _EXACT else number


def below(number: float) -> float:
    """Return the highest limit that excludes a number, as `above`."""
    return -above(-number)


def meet(left: ValueType, right: ValueType) -> ValueType:
    """Return the type of what satisfies both."""
    values = left.values if left.values is not None else right.values
    if values is not None:
        values = tuple(value for value in values if left.may_be(value) and right.may_be(value))
    return ValueType(
        kinds=left.kinds & right.kinds,
        values=values,
        low=max(left.low, right.low),
        high=min(left.high, right.high),
        is_whole=left.is_whole or right.is_whole,
        contracts=tuple({id(part.part): part for part in (*left.contracts, *right.contracts)}.values()),
        fields=_fields_of_both(left, right),
        items=left.items or right.items,
        element=left.element or right.element,
    )


def join(parts: Iterable[ValueType]) -> ValueType:
    """Return the type of what satisfies one of them; parts only where all of them agree."""
    first, *rest = tuple(parts) or (ANY,)
    for other in rest:
        values = None if first.values is None or other.values is None else (*first.values, *other.values)
        first = ValueType(
            kinds=first.kinds | other.kinds,
            values=None if values is None or len(values) > MAX_VALUES else _unique(values),
            low=min(first.low, other.low),
            high=max(first.high, other.high),
            is_whole=first.is_whole and other.is_whole,
            contracts=first.contracts if first.contracts == other.contracts else (),
            fields=first.fields if first.fields == other.fields else None,
            element=first.element if first.element == other.element else None,
        )
    return first


def only_kinds(value_type: ValueType) -> ValueType:
    """Return the type without what a person may overrule: its kinds and those of its parts stay."""
    fields = {name: only_kinds(part) for name, part in (value_type.fields or {}).items()}
    return ValueType(
        kinds=value_type.kinds,
        is_whole=value_type.is_whole,
        fields=None if value_type.fields is None else fields,
        element=None if value_type.element is None else only_kinds(value_type.element),
    )


def describe(value_type: ValueType) -> str:
    """Return the kinds of a type in words: "text", "a number", "text or null"."""
    both = kinds("int", "double")
    words = ["a number"] if both <= value_type.kinds else []
    words += [word for kind, word in _DESCRIPTIONS.items() if kind in value_type.kinds and not (words and kind in both)]
    return " or ".join(words) if len(words) < 5 else "something"


def _unique(values: tuple[Scalar, ...]) -> tuple[Scalar, ...]:
    # Python holds True == 1, JSON does not.
    return tuple({(isinstance(value, bool), value): value for value in values}.values())


def _fields_of_both(left: ValueType, right: ValueType) -> Mapping[str, ValueType] | None:
    if left.fields is None or right.fields is None:
        return left.fields if left.fields is not None else right.fields
    shared = {name: meet(part, right.fields[name]) for name, part in left.fields.items() if name in right.fields}
    return {**right.fields, **left.fields, **shared}

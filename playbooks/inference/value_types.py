"""What can be known of a value before a run: its kinds, the values it may have, its bounds, its parts.

Owns this little lattice. Must not know expressions, contracts or steps. Invariant: it only ever leaves out what
cannot be; whatever is not known may be anything, so nothing that could work is called wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from playbooks.common.values import Json, JsonObject

Kind: TypeAlias = Literal[
    "null", "bool", "int", "double", "uint", "string", "bytes", "list", "map", "timestamp", "duration", "type"
]
Scalar: TypeAlias = str | int | float | bool | None


def kinds(*names: Kind) -> frozenset[Kind]:
    """A set of kinds."""
    return frozenset(names)


ALL_KINDS: frozenset[Kind] = frozenset(
    ("null", "bool", "int", "double", "uint", "string", "bytes", "list", "map", "timestamp", "duration", "type")
)
NUMBERS: frozenset[Kind] = kinds("int", "double", "uint")
MAX_VALUES = 100


_WORDS: dict[Kind, str] = {
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


@dataclass(frozen=True, slots=True)
class Bound:
    value: float
    is_open: bool = False


@dataclass(frozen=True, slots=True)
class ContractPart:
    """A part of a contract that a value satisfies; `root` is where its references begin."""

    root: JsonObject
    part: JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What a value can be. `values`: all it can be, where that is a short list; bounds speak of numbers only.

    `is_whole`: numbers among them are whole, though they may be written with a decimal point. `fields`, `items` and
    `element`: the parts that are known; `contracts` say more about them.
    """

    kinds: frozenset[Kind] = ALL_KINDS
    values: tuple[Scalar, ...] | None = None
    low: Bound | None = None
    high: Bound | None = None
    is_whole: bool = False
    contracts: tuple[ContractPart, ...] = ()
    fields: Mapping[str, Known] | None = None
    items: tuple[Known, ...] | None = None
    element: Known | None = None

    @property
    def only(self) -> tuple[Scalar] | None:
        """The one value that it can be."""
        return (self.values[0],) if self.values is not None and len(self.values) == 1 else None

    @property
    def is_impossible(self) -> bool:
        """Whether nothing fits: what was said of it contradicts itself."""
        return not self.kinds or self.values == ()

    @property
    def is_number(self) -> bool:
        return bool(self.kinds) and self.kinds <= NUMBERS

    def is_only(self, kind: Kind) -> bool:
        """Whether it is of this kind, and no other."""
        return self.kinds == kinds(kind)


ANYTHING = Known()
TRUE = Known(kinds=kinds("bool"), values=(True,))
FALSE = Known(kinds=kinds("bool"), values=(False,))
EITHER = Known(kinds=kinds("bool"))
TEXT = Known(kinds=kinds("string"))


def of_kind(*kinds: Kind) -> Known:
    """Anything of these kinds."""
    return Known(kinds=frozenset(kinds))


def truth(outcomes: Iterable[bool]) -> Known:
    """A truth value with these outcomes."""
    found = set(outcomes)
    return EITHER if len(found) != 1 else TRUE if found.pop() else FALSE


def one_of(values: Iterable[Scalar]) -> Known:
    """One of these values, which come from JSON: a whole number may be written with a decimal point there."""
    listed = tuple(values)
    found = frozenset[Kind]().union(*(kinds_of(value) for value in listed))
    return Known(kinds=found, values=listed if len(listed) <= MAX_VALUES else None)


def kinds_of(value: Json) -> frozenset[Kind]:
    """The kinds that a JSON value can have for the engine."""
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


def same(left: Scalar, right: Scalar) -> bool:
    """Equality of JSON: 1 is 1.0, but not true."""
    return isinstance(left, bool) is isinstance(right, bool) and left == right


def within(value: Scalar, known: Known) -> bool:
    """Whether a known value may be one of these."""
    if known.values is not None:
        return any(same(value, other) for other in known.values)
    if not kinds_of(value) & known.kinds:
        return False
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return True
    return not (_below(value, known.low) or _above(value, known.high))


def meet(left: Known, right: Known) -> Known:
    """What satisfies both."""
    values = left.values if left.values is not None else right.values
    if values is not None:
        values = tuple(value for value in values if within(value, left) and within(value, right))
    return Known(
        kinds=left.kinds & right.kinds,
        values=values,
        low=_tighter(left.low, right.low, 1),
        high=_tighter(left.high, right.high, -1),
        is_whole=left.is_whole or right.is_whole,
        contracts=tuple({id(part.part): part for part in (*left.contracts, *right.contracts)}.values()),
        fields=_both_fields(left, right),
        items=left.items or right.items,
        element=left.element or right.element,
    )


def join(parts: Iterable[Known]) -> Known:
    """What satisfies one of them; of parts only what all of them say."""
    first, *rest = tuple(parts) or (ANYTHING,)
    for other in rest:
        values = None if first.values is None or other.values is None else (*first.values, *other.values)
        first = Known(
            kinds=first.kinds | other.kinds,
            values=None if values is None or len(values) > MAX_VALUES else _unique(values),
            low=_looser(first.low, other.low, 1),
            high=_looser(first.high, other.high, -1),
            is_whole=first.is_whole and other.is_whole,
            contracts=first.contracts if first.contracts == other.contracts else (),
            fields=first.fields if first.fields == other.fields else None,
            element=first.element if first.element == other.element else None,
        )
    return first


def only_kinds(known: Known) -> Known:
    """The same without what a person may overrule: its kinds stay, and those of its parts."""
    fields = None if known.fields is None else {name: only_kinds(part) for name, part in known.fields.items()}
    element = None if known.element is None else only_kinds(known.element)
    return replace(known, values=None, low=None, high=None, contracts=(), items=None, fields=fields, element=element)


def in_words(known: Known) -> str:
    """What it is, for people: "text", "a number", "text or null"."""
    both = kinds("int", "double")
    words = ["a number"] if both <= known.kinds else []
    words += [word for kind, word in _WORDS.items() if kind in known.kinds and not (words and kind in both)]
    return " or ".join(words) if len(words) < 5 else "something"


def _unique(values: tuple[Scalar, ...]) -> tuple[Scalar, ...]:
    # Python holds True == 1, JSON does not.
    return tuple({(isinstance(value, bool), value): value for value in values}.values())


def _below(value: float, low: Bound | None) -> bool:
    return low is not None and (value < low.value or (low.is_open and value == low.value))


def _above(value: float, high: Bound | None) -> bool:
    return high is not None and (value > high.value or (high.is_open and value == high.value))


def _tighter(left: Bound | None, right: Bound | None, sign: int) -> Bound | None:
    if left is None or right is None:
        return left or right
    return max(left, right, key=lambda bound: (sign * bound.value, bound.is_open))


def _looser(left: Bound | None, right: Bound | None, sign: int) -> Bound | None:
    if left is None or right is None:
        return None
    return min(left, right, key=lambda bound: (sign * bound.value, bound.is_open))


def _both_fields(left: Known, right: Known) -> Mapping[str, Known] | None:
    if left.fields is None or right.fields is None:
        return left.fields if left.fields is not None else right.fields
    shared = {name: meet(part, right.fields[name]) for name, part in left.fields.items() if name in right.fields}
    return {**right.fields, **left.fields, **shared}

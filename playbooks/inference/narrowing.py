"""What a condition that holds (or does not) tells of the paths it speaks of.

Owns this one step of reasoning, for comparisons of a path with something. Must not know where conditions stand.
Invariant: what is told is less than or equal to what was known before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from playbooks.expressions.syntax_tree import Call, Node, path_of
from playbooks.inference.operations import membership
from playbooks.inference.value_types import EITHER, FALSE, NUMBERS, TRUE, Bound, Known, meet, same

if TYPE_CHECKING:
    from playbooks.inference.infer import Environment

_NEGATED = {"_==_": "_!=_", "_!=_": "_==_", "_<_": "_>=_", "_>=_": "_<_", "_>_": "_<=_", "_<=_": "_>_"}
_MIRRORED = {"_==_": "_==_", "_!=_": "_!=_", "_<_": "_>_", "_>_": "_<_", "_<=_": "_>=_", "_>=_": "_<=_"}


class Reading(Protocol):
    """Reads what a part of an expression can give."""

    def read(self, node: Node, around: Environment) -> Known: ...


def narrowed(node: Node, around: Environment, holds: bool, reading: Reading) -> Environment:
    """The environment in which `node` is true (or, where `holds` is false, false)."""
    match node:
        case Call("!_", (inner,)):
            return narrowed(inner, around, not holds, reading)
        case Call("_&&_", (left, right)) if holds:
            return narrowed(right, narrowed(left, around, True, reading), True, reading)
        case Call("_||_", (left, right)) if not holds:
            return narrowed(right, narrowed(left, around, False, reading), False, reading)
        case Call("@in", (left, right)):
            return _by_list(left, right, around, holds, reading)
        case Call(function, (left, right)) if function in _NEGATED:
            told = function if holds else _NEGATED[function]
            around = _by_comparison(told, left, right, around, reading)
            return _by_comparison(_MIRRORED[told], right, left, around, reading)
        case _:
            return _by_itself(node, around, holds, reading)


def _by_itself(node: Node, around: Environment, holds: bool, reading: Reading) -> Environment:
    path = path_of(node)
    if path is None or reading.read(node, around).kinds != EITHER.kinds:
        return around
    return around.narrowed(path, TRUE if holds else FALSE)


def _by_list(left: Node, right: Node, around: Environment, holds: bool, reading: Reading) -> Environment:
    path, known, items = path_of(left), reading.read(left, around), reading.read(right, around).items
    if path is None or items is None or known.values is None:
        return around
    kept = [value for value in known.values if holds in membership(Known(kinds=known.kinds, values=(value,)), items)]
    return around.narrowed(path, meet(known, Known(values=tuple(kept))))


def _by_comparison(function: str, left: Node, right: Node, around: Environment, reading: Reading) -> Environment:
    path = path_of(left)
    if path is None:
        return around
    known, other = reading.read(left, around), reading.read(right, around)
    return around.narrowed(path, meet(known, _TOLD[function](known, other)))


def _equal(_known: Known, other: Known) -> Known:
    kinds = other.kinds | NUMBERS if other.kinds & NUMBERS else other.kinds
    return Known(kinds=kinds, values=other.values, low=other.low, high=other.high)


def _different(known: Known, other: Known) -> Known:
    if known.values is None or other.only is None:
        return Known()
    return Known(values=tuple(value for value in known.values if not same(value, other.only[0])))


def _highest(other: Known, *, is_open: bool) -> Known:
    bound = _numbers(other)[1]
    return Known() if bound is None else Known(high=Bound(bound.value, bound.is_open or is_open))


def _lowest(other: Known, *, is_open: bool) -> Known:
    bound = _numbers(other)[0]
    return Known() if bound is None else Known(low=Bound(bound.value, bound.is_open or is_open))


def _numbers(other: Known) -> tuple[Bound | None, Bound | None]:
    if not other.is_number:
        return None, None
    listed = [value for value in other.values or () if isinstance(value, (int, float))]
    return (Bound(min(listed)), Bound(max(listed))) if listed else (other.low, other.high)


_TOLD: dict[str, Callable[[Known, Known], Known]] = {
    "_==_": _equal,
    "_!=_": _different,
    "_<_": lambda _, other: _highest(other, is_open=True),
    "_<=_": lambda _, other: _highest(other, is_open=False),
    "_>_": lambda _, other: _lowest(other, is_open=True),
    "_>=_": lambda _, other: _lowest(other, is_open=False),
}

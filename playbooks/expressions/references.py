"""Reads which parts of a run's context an expression refers to, from the engine's serialized checked expression.

Owns the few field numbers of `cel.expr.CheckedExpr` (checked.proto and syntax.proto of the CEL specification) that
are needed, because the engine offers no syntax tree. Must not know the engine itself, nor what a name means.
Invariant: whatever an expression reads lies below one of the references returned; a path that is not known before
the expression runs (`steps[k]`) is answered by its known beginning.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from playbooks.common.values import Path
from playbooks.expressions.wire import Fields, fields_of, message, messages, text_of

_Bound: TypeAlias = frozenset[str]

_ANY_VALUE = 2
_CHECKED_EXPR, _PARSED_EXPR = 4, 2
_CONST, _IDENT, _SELECT, _CALL, _LIST, _STRUCT, _COMPREHENSION = 3, 4, 5, 6, 7, 8, 9
_STRING_CONSTANT = 6
_COPYING = frozenset({"_+_", "string", "bytes"})


@dataclass(frozen=True, slots=True)
class Reference:
    """A path that an expression reads. `is_tested`: only inside `has(...)`, so it may be absent."""

    path: Path
    is_tested: bool = False


def references_of(serialized: bytes) -> tuple[Reference, ...]:
    """The references of a serialized expression (checked, or only parsed), each once, in order of path.

    ValueError where it is unreadable.
    """
    envelope = fields_of(serialized)
    number = _PARSED_EXPR if text_of(envelope, 1).endswith(".ParsedExpr") else _CHECKED_EXPR
    found: set[Reference] = set()
    _collect(message(fields_of(message(envelope, _ANY_VALUE)), number), frozenset(), found)
    return tuple(sorted(found, key=lambda reference: (reference.path, reference.is_tested)))


@dataclass(frozen=True, slots=True)
class Growth:
    """How an expression can make more than it reads: `copies` counts what joins or copies texts and lists."""

    copies: int
    loops: int


def growth_of(serialized: bytes) -> Growth:
    """The growth of a serialized checked expression. ValueError where it is unreadable."""
    copies = loops = 0
    stack = [message(fields_of(message(fields_of(serialized), _ANY_VALUE)), _CHECKED_EXPR)]
    while stack:
        fields = fields_of(stack.pop())
        if _COMPREHENSION in fields:
            loops += 1
            loop = fields_of(message(fields, _COMPREHENSION))
            stack.extend(message(loop, number) for number in (2, 4, 5, 6, 7))
        if _SELECT in fields:
            stack.append(message(fields_of(message(fields, _SELECT)), 1))
        if _CALL in fields and text_of(fields_of(message(fields, _CALL)), 2) in _COPYING:
            copies += 1
        stack.extend(_operands(fields))
    return Growth(copies, loops)


def shortest(paths: Iterable[Path]) -> tuple[Path, ...]:
    """These paths without those that another one covers (a prefix stands for all below), sorted."""
    kept: list[Path] = []
    for path in sorted(set(paths)):
        # In this order everything below a path comes right after it.
        if not kept or path[: len(kept[-1])] != kept[-1]:
            kept.append(path)
    return tuple(kept)


def _collect(expression: bytes, bound: _Bound, found: set[Reference]) -> None:
    """Add what this expression reads; `bound` are the names that a macro around it made."""
    fields = fields_of(expression)
    path = _static_path(fields, bound, found)
    if path is not None:
        if path:
            found.add(Reference(path, is_tested=_is_test(fields)))
        return
    if _COMPREHENSION in fields:
        _collect_comprehension(fields_of(message(fields, _COMPREHENSION)), bound, found)
    for part in _operands(fields):
        _collect(part, bound, found)


def _operands(fields: Fields) -> list[bytes]:
    """The expressions directly below a call, a list or a map."""
    if _CALL in fields:
        call = fields_of(message(fields, _CALL))
        return messages(call, 1) + messages(call, 3)
    if _LIST in fields:
        return messages(fields_of(message(fields, _LIST)), 1)
    if _STRUCT in fields:
        entries = [fields_of(entry) for entry in messages(fields_of(message(fields, _STRUCT)), 2)]
        return [part for entry in entries for part in (*messages(entry, 3), *messages(entry, 4))]
    return []


def _collect_comprehension(fields: Fields, bound: _Bound, found: set[Reference]) -> None:
    _collect(message(fields, 2), bound, found)
    _collect(message(fields, 4), bound, found)
    accumulator = text_of(fields, 3)
    inner = bound | {name for name in (text_of(fields, 1), text_of(fields, 8), accumulator) if name}
    for number in (5, 6):
        _collect(message(fields, number), inner, found)
    _collect(message(fields, 7), bound | {accumulator}, found)


def _static_path(fields: Fields, bound: _Bound, found: set[Reference]) -> Path | None:
    """The path this expression names; () for one that starts at a bound name; None where it is no path.

    Of an operand that is no path (a call, a literal) the references are added here.
    """
    if _IDENT in fields:
        name = text_of(fields_of(message(fields, _IDENT)), 1).removeprefix(".")
        return () if name in bound else (name,)
    if _SELECT in fields:
        select = fields_of(message(fields, _SELECT))
        return _below(message(select, 1), text_of(select, 2), bound, found)
    if _CALL in fields:
        call = fields_of(message(fields, _CALL))
        arguments = messages(call, 3)
        if text_of(call, 2) == "_[_]" and len(arguments) == 2:
            key = _string_constant(arguments[1])
            if key is not None:
                return _below(arguments[0], key, bound, found)
    return None


def _below(operand: bytes, name: str, bound: _Bound, found: set[Reference]) -> Path:
    path = _static_path(fields_of(operand), bound, found)
    if path is None:
        _collect(operand, bound, found)
        return ()
    return (*path, name) if path else ()


def _is_test(fields: Fields) -> bool:
    if _SELECT not in fields:
        return False
    return any(fields_of(message(fields, _SELECT)).get(3, ()))


def _string_constant(expression: bytes) -> str | None:
    fields = fields_of(expression)
    if _CONST not in fields:
        return None
    constant = fields_of(message(fields, _CONST))
    return text_of(constant, _STRING_CONSTANT) if _STRING_CONSTANT in constant else None

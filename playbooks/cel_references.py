"""Reads which parts of a run's context an expression refers to, from the engine's serialized checked expression.

Owns the few field numbers of `cel.expr.CheckedExpr` (checked.proto and syntax.proto of the CEL specification) that
are needed, because the engine offers no syntax tree. Must not know the engine itself, nor what a name means.
Invariant: whatever an expression reads lies below one of the references returned; a path that is not known before
the expression runs (`steps[k]`) is answered by its known beginning.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias, cast

from playbooks.plan import Path

_Fields: TypeAlias = dict[int, list[int | bytes]]
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
    envelope = _fields(serialized)
    number = _PARSED_EXPR if _text(envelope, 1).endswith(".ParsedExpr") else _CHECKED_EXPR
    found: set[Reference] = set()
    _collect(_message(_fields(_message(envelope, _ANY_VALUE)), number), frozenset(), found)
    return tuple(sorted(found, key=lambda reference: (reference.path, reference.is_tested)))


@dataclass(frozen=True, slots=True)
class Growth:
    """How an expression can make more than it reads: `copies` counts what joins or copies texts and lists."""

    copies: int
    loops: int


def growth_of(serialized: bytes) -> Growth:
    """The growth of a serialized checked expression. ValueError where it is unreadable."""
    copies = loops = 0
    stack = [_message(_fields(_message(_fields(serialized), _ANY_VALUE)), _CHECKED_EXPR)]
    while stack:
        fields = _fields(stack.pop())
        if _COMPREHENSION in fields:
            loops += 1
            loop = _fields(_message(fields, _COMPREHENSION))
            stack.extend(_message(loop, number) for number in (2, 4, 5, 6, 7))
        if _SELECT in fields:
            stack.append(_message(_fields(_message(fields, _SELECT)), 1))
        if _CALL in fields and _text(_fields(_message(fields, _CALL)), 2) in _COPYING:
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
    fields = _fields(expression)
    path = _static_path(fields, bound, found)
    if path is not None:
        if path:
            found.add(Reference(path, is_tested=_is_test(fields)))
        return
    if _COMPREHENSION in fields:
        _collect_comprehension(_fields(_message(fields, _COMPREHENSION)), bound, found)
    for part in _operands(fields):
        _collect(part, bound, found)


def _operands(fields: _Fields) -> list[bytes]:
    """The expressions directly below a call, a list or a map."""
    if _CALL in fields:
        call = _fields(_message(fields, _CALL))
        return _messages(call, 1) + _messages(call, 3)
    if _LIST in fields:
        return _messages(_fields(_message(fields, _LIST)), 1)
    if _STRUCT in fields:
        entries = [_fields(entry) for entry in _messages(_fields(_message(fields, _STRUCT)), 2)]
        return [part for entry in entries for part in (*_messages(entry, 3), *_messages(entry, 4))]
    return []


def _collect_comprehension(fields: _Fields, bound: _Bound, found: set[Reference]) -> None:
    _collect(_message(fields, 2), bound, found)
    _collect(_message(fields, 4), bound, found)
    accumulator = _text(fields, 3)
    inner = bound | {name for name in (_text(fields, 1), _text(fields, 8), accumulator) if name}
    for number in (5, 6):
        _collect(_message(fields, number), inner, found)
    _collect(_message(fields, 7), bound | {accumulator}, found)


def _static_path(fields: _Fields, bound: _Bound, found: set[Reference]) -> Path | None:
    """The path this expression names; () for one that starts at a bound name; None where it is no path.

    Of an operand that is no path (a call, a literal) the references are added here.
    """
    if _IDENT in fields:
        name = _text(_fields(_message(fields, _IDENT)), 1).removeprefix(".")
        return () if name in bound else (name,)
    if _SELECT in fields:
        select = _fields(_message(fields, _SELECT))
        return _below(_message(select, 1), _text(select, 2), bound, found)
    if _CALL in fields:
        call = _fields(_message(fields, _CALL))
        arguments = _messages(call, 3)
        if _text(call, 2) == "_[_]" and len(arguments) == 2:
            key = _string_constant(arguments[1])
            if key is not None:
                return _below(arguments[0], key, bound, found)
    return None


def _below(operand: bytes, name: str, bound: _Bound, found: set[Reference]) -> Path:
    path = _static_path(_fields(operand), bound, found)
    if path is None:
        _collect(operand, bound, found)
        return ()
    return (*path, name) if path else ()


def _is_test(fields: _Fields) -> bool:
    if _SELECT not in fields:
        return False
    return any(_fields(_message(fields, _SELECT)).get(3, ()))


def _string_constant(expression: bytes) -> str | None:
    fields = _fields(expression)
    if _CONST not in fields:
        return None
    constant = _fields(_message(fields, _CONST))
    return _text(constant, _STRING_CONSTANT) if _STRING_CONSTANT in constant else None


def _messages(fields: _Fields, number: int) -> list[bytes]:
    return [value for value in fields.get(number, ()) if isinstance(value, bytes)]


def _message(fields: _Fields, number: int) -> bytes:
    values = _messages(fields, number)
    return values[-1] if values else b""


def _text(fields: _Fields, number: int) -> str:
    return _message(fields, number).decode()


def _fields(data: bytes) -> _Fields:
    """One protobuf message as its field numbers with their raw values (wire types of the protobuf encoding)."""
    fields: _Fields = {}
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        match tag & 7:
            case 0:
                value, at = cast("tuple[int | bytes, int]", _varint(data, at))
            case 1:
                value, at = data[at : at + 8], at + 8
            case 2:
                size, at = _varint(data, at)
                value, at = data[at : at + size], at + size
            case 5:
                value, at = data[at : at + 4], at + 4
            case _:
                raise ValueError("unknown wire type")
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def _varint(data: bytes, at: int) -> tuple[int, int]:
    result = shift = 0
    while at < len(data):
        byte = data[at]
        at += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, at
        shift += 7
    raise ValueError("the message ends within a number")

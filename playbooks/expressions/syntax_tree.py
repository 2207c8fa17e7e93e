"""An expression as a tree, read from the engine's serialized checked expression.

Owns the shape of the tree (`cel.expr.Expr` in syntax.proto of the CEL specification). Must not know the engine, nor
what a name or a function means. Macros (`exists`, `map`, ...) are here what the engine makes of them: loops.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal, TypeAlias

from playbooks.common.values import Path
from playbooks.expressions.wire import Fields, fields_of, message, messages, text_of

_ANY_VALUE, _CHECKED_EXPR = 2, 4
_CONST, _IDENT, _SELECT, _CALL, _LIST, _STRUCT, _LOOP = 3, 4, 5, 6, 7, 8, 9


@dataclass(frozen=True, slots=True)
class Constant:
    kind: Literal["null", "bool", "int", "uint", "double", "string", "bytes"]
    value: str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Name:
    name: str


@dataclass(frozen=True, slots=True)
class Select:
    """`operand.name`; `is_tested`: `has(operand.name)`, which is true or false."""

    operand: Node
    name: str
    is_tested: bool


@dataclass(frozen=True, slots=True)
class Call:
    """An operator (`_+_`, `!_`, `@in`, ...) or a function; of a method the first argument is what it is called on."""

    function: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class ListOf:
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class MapOf:
    entries: tuple[tuple[Node, Node], ...]


@dataclass(frozen=True, slots=True)
class Loop:
    """A macro: `step` is repeated for each item of `items`, with the result so far under the name `result`."""

    items: Node
    variables: tuple[str, ...]
    result: str
    start: Node
    condition: Node
    step: Node
    end: Node


Node: TypeAlias = Constant | Name | Select | Call | ListOf | MapOf | Loop


def tree_of(serialized: bytes) -> Node:
    """The tree of a serialized checked expression. ValueError where it is unreadable.

    Its depth is bounded by the engine, which refuses to compile deeper expressions.
    """
    return _node(message(fields_of(message(fields_of(serialized), _ANY_VALUE)), _CHECKED_EXPR))


def path_of(node: Node) -> Path | None:
    """The path that a node names (`input.a`, `steps['a'].output`), or None where it is no path."""
    match node:
        case Name(name):
            return (name,)
        case Select(operand, name, False):
            return _below(operand, name)
        case Call("_[_]", (operand, Constant("string", str(name)))):
            return _below(operand, name)
        case _:
            return None


def _below(operand: Node, name: str) -> Path | None:
    path = path_of(operand)
    return None if path is None else (*path, name)


def _node(data: bytes) -> Node:
    fields = fields_of(data)
    for number, read in _READERS.items():
        if number in fields:
            return read(fields_of(message(fields, number)))
    raise ValueError("unknown kind of expression")


def _constant(fields: Fields) -> Node:
    # The field numbers of `cel.expr.Constant`; one that holds its default may be left out.
    match next(iter(fields.items()), (1, [0])):
        case (1, _):
            return Constant("null", None)
        case (2, [*_, int(number)]):
            return Constant("bool", bool(number))
        case (3, [*_, int(number)]):
            return Constant("int", number - 2**64 if number >= 2**63 else number)
        case (4, [*_, int(number)]):
            return Constant("uint", number)
        case (5, [*_, bytes(data)]):
            return Constant("double", struct.unpack("<d", data)[0])
        case (6, [*_, bytes(data)]):
            return Constant("string", data.decode())
        case _:
            return Constant("bytes", None)


def _name(fields: Fields) -> Node:
    return Name(text_of(fields, 1).removeprefix("."))


def _select(fields: Fields) -> Node:
    return Select(_node(message(fields, 1)), text_of(fields, 2), any(fields.get(3, ())))


def _call(fields: Fields) -> Node:
    operands = messages(fields, 1) + messages(fields, 3)
    return Call(text_of(fields, 2), tuple(_node(operand) for operand in operands))


def _list(fields: Fields) -> Node:
    return ListOf(tuple(_node(item) for item in messages(fields, 1)))


def _struct(fields: Fields) -> Node:
    entries = [fields_of(entry) for entry in messages(fields, 2)]
    return MapOf(tuple((_node(message(entry, 3)), _node(message(entry, 4))) for entry in entries if 3 in entry))


def _loop(fields: Fields) -> Node:
    return Loop(
        items=_node(message(fields, 2)),
        variables=tuple(name for name in (text_of(fields, 1), text_of(fields, 8)) if name),
        result=text_of(fields, 3),
        start=_node(message(fields, 4)),
        condition=_node(message(fields, 5)),
        step=_node(message(fields, 6)),
        end=_node(message(fields, 7)),
    )


_READERS = {
    _CONST: _constant,
    _IDENT: _name,
    _SELECT: _select,
    _CALL: _call,
    _LIST: _list,
    _STRUCT: _struct,
    _LOOP: _loop,
}

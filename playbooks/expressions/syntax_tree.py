"""The syntax tree of an expression, read from what the engine serializes (`cel.expr` of the CEL specification).

Macros (`exists`, `map`, ...) appear as the loops that the engine expands them to.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import Literal, TypeAlias

from google.protobuf.any_pb2 import Any

from playbooks.common.values import Path
from playbooks.expressions.protos import checked_pb2, syntax_pb2

ConstantKind: TypeAlias = Literal["null", "bool", "int", "uint", "double", "string", "bytes"]


@dataclass(frozen=True, slots=True)
class Constant:
    """A literal; the value of bytes is not kept."""

    kind: ConstantKind
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
    """An operator (`_+_`, `!_`, `@in`, ...), a function, or a method, whose first argument is its target."""

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
    """A macro: `step` is repeated for each item of `items`; the name `result` holds the result so far."""

    items: Node
    variables: tuple[str, ...]
    result: str
    start: Node
    condition: Node
    step: Node
    end: Node


Node: TypeAlias = Constant | Name | Select | Call | ListOf | MapOf | Loop


def tree_of(serialized: bytes) -> Node:
    """Return the tree of a serialized expression (checked, or only parsed).

    ValueError where it is no expression; DecodeError where more than about twelve macros are nested (the engine itself
    bounds every other nesting at 32).
    """
    envelope = Any.FromString(serialized)
    parsed = syntax_pb2.ParsedExpr()
    checked = checked_pb2.CheckedExpr()
    if envelope.Unpack(checked):
        return _node(checked.expr)
    if envelope.Unpack(parsed):
        return _node(parsed.expr)
    raise ValueError(f"unknown form of an expression: {envelope.type_url}")


def parts_of(node: Node) -> tuple[Node, ...]:
    """Return the nodes directly below a node."""
    match node:
        case Select(operand, _, _):
            return (operand,)
        case Call(_, parts) | ListOf(parts):
            return parts
        case MapOf(entries):
            return tuple(chain.from_iterable(entries))
        case Loop():
            return (node.items, node.start, node.condition, node.step, node.end)
        case _:
            return ()


def split_path(node: Node) -> tuple[Node, Path]:
    """Return what a chain of selections (`.a`, `['a']`) starts from, and the names that it selects."""
    match node:
        case Select(operand, name, _) | Call("_[_]", (operand, Constant("string", str(name)))):
            start, path = split_path(operand)
            return start, (*path, name)
        case _:
            return node, ()


def path_of(node: Node) -> Path | None:
    """Return the path that a node names (`input.a`, `steps['a'].output`), or None where it is no path."""
    start, path = split_path(node)
    is_test = isinstance(node, Select) and node.is_tested
    return (start.name, *path) if isinstance(start, Name) and not is_test else None


def _node(expression: syntax_pb2.Expr) -> Node:
    match expression.WhichOneof("expr_kind"):
        case "const_expr":
            return _constant(expression.const_expr)
        case "ident_expr":
            return Name(expression.ident_expr.name.removeprefix("."))
        case "select_expr":
            select = expression.select_expr
            return Select(_node(select.operand), select.field, select.test_only)
        case "call_expr":
            call = expression.call_expr
            target = (call.target,) if call.HasField("target") else ()
            return Call(call.function, tuple(_node(part) for part in (*target, *call.args)))
        case "list_expr":
            return ListOf(tuple(_node(item) for item in expression.list_expr.elements))
        case "struct_expr":
            return _struct(expression.struct_expr)
        case "comprehension_expr":
            return _loop(expression.comprehension_expr)
        case _:
            raise ValueError("unknown kind of expression")


_CONSTANTS: dict[str | None, ConstantKind] = {
    "null_value": "null",
    "bool_value": "bool",
    "int64_value": "int",
    "uint64_value": "uint",
    "double_value": "double",
    "string_value": "string",
    "bytes_value": "bytes",
}


def _constant(constant: syntax_pb2.Constant) -> Constant:
    field = constant.WhichOneof("constant_kind")
    kind = _CONSTANTS[field]
    return Constant(kind, None if kind in ("null", "bytes") else getattr(constant, str(field)))


def _struct(struct: syntax_pb2.Expr.CreateStruct) -> Node:
    if struct.message_name:
        # A message, such as google.protobuf.Int32Value{value: 1}, evaluates to whatever it wraps.
        return Call(struct.message_name, tuple(_node(entry.value) for entry in struct.entries))
    return MapOf(tuple((_node(entry.map_key), _node(entry.value)) for entry in struct.entries))


def _loop(loop: syntax_pb2.Expr.Comprehension) -> Node:
    return Loop(
        items=_node(loop.iter_range),
        variables=tuple(name for name in (loop.iter_var, loop.iter_var2) if name),
        result=loop.accu_var,
        start=_node(loop.accu_init),
        condition=_node(loop.loop_condition),
        step=_node(loop.loop_step),
        end=_node(loop.result),
    )

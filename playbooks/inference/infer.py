"""Types and truth of an expression, from what is known of the names it reads.

Owns the walk over an expression's tree. Must not know contracts or steps: what is known of `input` and the others is
handed in. Invariants: a mismatch is told only where the expression fails or is pointless whatever the values are;
what is not known may be anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from playbooks.common.values import Path
from playbooks.expressions.syntax_tree import Call, Constant, ListOf, Loop, MapOf, Name, Node, Select, path_of
from playbooks.inference import narrowing, operations
from playbooks.inference.signatures import ARITHMETIC, COMPARISONS, FUNCTIONS, SYMBOLS
from playbooks.inference.value_types import (
    ANYTHING,
    EITHER,
    NUMBERS,
    Kind,
    Known,
    in_words,
    join,
    kinds,
    of_kind,
    truth,
)

Names: TypeAlias = Mapping[str, Known]


@dataclass(frozen=True, slots=True)
class Mismatch:
    """What does not fit; `is_certain`: it can never work, else only for some values."""

    message: str
    is_certain: bool = True


@dataclass(frozen=True, slots=True)
class Environment:
    """What is known where an expression is read: of names, and, more narrowly, of paths that a condition spoke of."""

    names: Names
    paths: Mapping[Path, Known] = field(default_factory=dict[Path, Known])

    def narrowed(self, path: Path, known: Known) -> Environment:
        return replace(self, paths={**self.paths, path: known})

    def with_names(self, names: Names) -> Environment:
        """With the variables of a macro, which hide others of that name."""
        paths = {path: known for path, known in self.paths.items() if path[0] not in names}
        return Environment({**self.names, **names}, paths)


def typed(node: Node, names: Names) -> tuple[Known, tuple[Mismatch, ...]]:
    """What an expression can give, and what in it does not fit."""
    reader = _Reader()
    known = reader.read(node, Environment(names))
    return known, tuple(dict.fromkeys(reader.found))


class _Reader:
    """One walk over one expression."""

    def __init__(self) -> None:
        self.found: list[Mismatch] = []

    def read(self, node: Node, around: Environment) -> Known:
        """What a part of the expression can give; something contradictory may be anything."""
        path = path_of(node)
        told = around.paths.get(path) if path is not None else None
        known = self._read(node, around) if told is None else told
        return ANYTHING if known.is_impossible else known

    def _read(self, node: Node, around: Environment) -> Known:
        match node:
            case Constant(kind, value):
                return Known(kinds=frozenset((kind,)), values=None if kind == "bytes" else (value,))
            case Name(name):
                return around.names.get(name, ANYTHING)
            case Select(operand, name, is_tested):
                known = self._select(self.read(operand, around), operand, name)
                return EITHER if is_tested else known
            case ListOf(items):
                listed = tuple(self.read(item, around) for item in items)
                return replace(of_kind("list"), items=listed, element=join(listed))
            case MapOf(entries):
                fields = {
                    key.value: self.read(value, around)
                    for key, value in entries
                    if isinstance(key, Constant) and isinstance(key.value, str)
                }
                return replace(of_kind("map"), fields=fields if len(fields) == len(entries) else None)
            case Loop():
                return self._loop(node, around)
            case Call(function, arguments):
                return self._call(function, arguments, around)

    def _select(self, known: Known, operand: Node, name: str) -> Known:
        if "map" not in known.kinds:
            self._tell(f"{_named(operand, known)}, which has no field '{name}'")
            return ANYTHING
        return operations.member(known, name)

    def _loop(self, node: Loop, around: Environment) -> Known:
        items = self.read(node.items, around)
        if not items.kinds & kinds("list", "map"):
            self._tell(f"a macro goes over a list or an object, and {_named(node.items, items)}")
            return ANYTHING
        variables = dict.fromkeys(node.variables, ANYTHING)
        if "map" not in items.kinds:
            variables[node.variables[-1]] = operations.element(items)
        so_far = Known(kinds=self.read(node.start, around).kinds)
        inner = around.with_names({**variables, node.result: so_far})
        self.read(node.step, inner)
        return self.read(node.end, around.with_names({node.result: so_far}))

    def _call(self, function: str, arguments: tuple[Node, ...], around: Environment) -> Known:
        match function, arguments:
            case "_&&_" | "_||_", (left, right):
                return self._junction(function, left, right, around)
            case "_?_:_", (test, yes, no):
                return self._choice(test, yes, no, around)
            case "_[_]", (operand, Constant("string", str(name))):
                return self._select(self.read(operand, around), operand, name)
            case _:
                known = tuple(self.read(argument, around) for argument in arguments)
                return self._apply(function, arguments, known)

    def _junction(self, function: str, left: Node, right: Node, around: Environment) -> Known:
        is_and = function == "_&&_"
        first = self._boolean(left, around, SYMBOLS[function])
        second = self._boolean(right, narrowing.narrowed(left, around, is_and, self), SYMBOLS[function])
        ends = (first.only, second.only)
        if (not is_and,) in ends:
            return truth([not is_and])
        return truth([is_and]) if ends == ((is_and,), (is_and,)) else EITHER

    def _choice(self, test: Node, yes: Node, no: Node, around: Environment) -> Known:
        decided = self._boolean(test, around, "?").only
        first = self.read(yes, narrowing.narrowed(test, around, True, self))
        second = self.read(no, narrowing.narrowed(test, around, False, self))
        if decided is None:
            return join((first, second))
        return first if decided[0] else second

    def _boolean(self, node: Node, around: Environment, symbol: str) -> Known:
        known = self.read(node, around)
        if "bool" not in known.kinds:
            self._tell(f"'{symbol}' needs true or false, and {_named(node, known)}")
            return EITHER
        return known if known.is_only("bool") else EITHER

    def _apply(self, function: str, nodes: tuple[Node, ...], known: tuple[Known, ...]) -> Known:
        match function, known:
            case "!_", (_,):
                only = self._boolean_value(nodes[0], known[0]).only
                return EITHER if only is None else truth([not only[0]])
            case "_==_" | "_!=_", (left, right):
                return self._equality(function, nodes, left, right)
            case "@in", (left, right):
                return self._membership(nodes, left, right)
            case "_[_]", (operand, _):
                return operations.element(operand) if operand.is_only("list") else ANYTHING
            case _, (left, right) if function in COMPARISONS:
                return self._comparison(function, nodes, left, right)
            case _, (left, right) if function in ARITHMETIC:
                return self._arithmetic(function, nodes, left, right)
            case _:
                return self._function(function, nodes, known)

    def _boolean_value(self, node: Node, known: Known) -> Known:
        if "bool" not in known.kinds:
            self._tell(f"'!' needs true or false, and {_named(node, known)}")
        return known if known.is_only("bool") else EITHER

    def _equality(self, function: str, nodes: tuple[Node, ...], left: Known, right: Known) -> Known:
        if not operations.are_alike(left, right):
            if "null" not in left.kinds | right.kinds:
                self._tell(f"they are never equal: {_both(nodes, left, right)}")
                return EITHER
            return truth([function == "_!=_"])
        outcomes = operations.equality(left, right)
        return truth(outcome is (function == "_==_") for outcome in outcomes)

    def _membership(self, nodes: tuple[Node, ...], left: Known, right: Known) -> Known:
        if not right.kinds & kinds("list", "map"):
            self._tell(f"'in' needs a list or an object, and {_named(nodes[1], right)}")
            return EITHER
        if not right.is_only("list") or right.items is None:
            return EITHER
        if right.items and not any(operations.are_alike(left, item) for item in right.items):
            self._tell(f"nothing in the list is {in_words(left)}, as {_called(nodes[0])} is")
            return EITHER
        return truth(operations.membership(left, right.items))

    def _comparison(self, function: str, nodes: tuple[Node, ...], left: Known, right: Known) -> Known:
        if not operations.have_order(left, right):
            self._tell(f"'{SYMBOLS[function]}' cannot compare them: {_both(nodes, left, right)}")
            return EITHER
        return truth(operations.order(SYMBOLS[function], left, right))

    def _arithmetic(self, function: str, nodes: tuple[Node, ...], left: Known, right: Known) -> Known:
        fitting: list[Kind] = [
            result for first, second, result in ARITHMETIC[function] if first in left.kinds and second in right.kinds
        ]
        symbol = SYMBOLS[function]
        if not fitting:
            self._tell(f"'{symbol}' does not fit them: {_both(nodes, left, right)}")
            return ANYTHING
        if left.is_number and right.is_number and operations.may_mix(left, right):
            message = f"'{symbol}' fails where one number is whole and the other is not: {_both(nodes, left, right)}"
            self._tell(message, is_certain=False)
        return of_kind(*fitting)

    def _function(self, function: str, nodes: tuple[Node, ...], known: tuple[Known, ...]) -> Known:
        if function not in FUNCTIONS:
            return ANYTHING
        wanted, result = FUNCTIONS[function]
        name = SYMBOLS.get(function, function)
        for node, have, needed in zip(nodes, known, wanted, strict=False):
            if not have.kinds & needed:
                self._tell(f"'{name}' needs {in_words(Known(kinds=needed))}, and {_named(node, have)}")
        if function == "double" and known[0].is_number:
            return replace(of_kind("double"), low=known[0].low, high=known[0].high)
        if function == "-_":
            return Known(kinds=known[0].kinds & (NUMBERS | kinds("duration")))
        return of_kind(result)

    def _tell(self, message: str, *, is_certain: bool = True) -> None:
        self.found.append(Mismatch(message, is_certain))


def _both(nodes: tuple[Node, ...], left: Known, right: Known) -> str:
    return f"{_named(nodes[0], left)}, {_named(nodes[1], right)}"


def _named(node: Node, known: Known) -> str:
    return f"{_called(node)} is {in_words(known)}"


def _called(node: Node) -> str:
    path = path_of(node)
    if path is not None:
        return f"'{'.'.join(path)}'"
    if isinstance(node, Constant) and node.kind != "bytes":
        text = repr(node.value) if isinstance(node.value, str) else str(node.value).lower()
        return text if len(text) <= 60 else f"{text[:60]}..."
    if isinstance(node, Call) and node.function == "_[_]":
        return f"an item of {_called(node.arguments[0])}"
    return f"what '{SYMBOLS.get(node.function, node.function)}' gives" if isinstance(node, Call) else "it"

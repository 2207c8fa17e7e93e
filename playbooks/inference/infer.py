"""Type inference over an expression's syntax tree, from the types of the names that it reads.

Invariants: a certain mismatch is reported only where the expression fails or is pointless whatever the values are; a
value whose type is not known may be anything.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import pairwise

from playbooks.common.values import Path
from playbooks.expressions.syntax_tree import (
    Call,
    Constant,
    ListOf,
    Loop,
    MapOf,
    Name,
    Node,
    Select,
    parts_of,
    path_of,
)
from playbooks.inference import operations
from playbooks.inference.environment import Environment, Mismatch, Names
from playbooks.inference.signatures import ARITHMETIC, COMPARISONS, FUNCTIONS, SYMBOLS
from playbooks.inference.value_types import (
    ANY,
    BOOL,
    NUMBERS,
    Kind,
    Scalar,
    ValueType,
    above,
    below,
    describe,
    join,
    kinds,
    kinds_of,
    meet,
    of_kind,
    truth,
)

MAX_CASES = 24
"""Bounds the work on one condition: how often its tree is read again."""


def infer(node: Node, names: Names) -> tuple[ValueType, tuple[Mismatch, ...]]:
    """Return the type of an expression, and what in it does not fit."""
    reader = _Reader()
    found = reader.read(node, Environment(names))
    if found == BOOL:
        found = _by_cases(node, Environment(names, reader.paths), reader.repeated)
    return found, tuple(dict.fromkeys(reader.mismatches))


def _by_cases(node: Node, environment: Environment, paths: Iterable[Path]) -> ValueType:
    """Decide a condition that has the same outcome in every case of one path that it reads.

    So `kind == 'a' || kind == 'b'` always holds where these are all kinds, and `n > 5 && n <= 5` never. `paths` are
    those that it reads more than once: the cases of others add nothing.
    """
    constants = sorted(_numbers_in(node))
    left = MAX_CASES
    for path in paths:
        outcomes: set[Scalar] = set()
        for case in _cases(environment.paths[path], constants) if path[0] in environment.names else ():
            if left == 0:
                return BOOL
            left -= 1
            only = _Reader().read(node, environment.refined(path, case)).only
            outcomes.add(None if only is None else only[0])
            if None in outcomes or len(outcomes) > 1:
                break
        if outcomes in ({True}, {False}):
            return truth([True in outcomes])
    return BOOL


def _cases(value_type: ValueType, constants: list[float]) -> Iterator[ValueType]:
    """Yield the parts of a type: each listed value; null and the rest; each constant and the intervals between them."""
    values = (True, False) if value_type.is_only("bool") else value_type.values
    if values is None and value_type.is_number:
        for low, high in pairwise((-math.inf, *constants, math.inf)):
            between = meet(value_type, ValueType(low=above(low), high=below(high)))
            if not between.is_empty:
                yield between
        values = tuple(number for number in constants if value_type.may_be(number))
    elif values is None and "null" in value_type.kinds:
        yield replace(value_type, kinds=value_type.kinds - kinds("null"))
        values = (None,)
    for value in values or ():
        yield replace(value_type, kinds=value_type.kinds & kinds_of(value), values=(value,))


def _numbers_in(node: Node) -> set[float]:
    found: set[float] = set()
    stack = [node]
    while stack:
        part = stack.pop()
        if isinstance(part, Constant) and part.kind in NUMBERS and isinstance(part.value, (int, float)):
            found.add(part.value)
        stack.extend(parts_of(part))
    return found


class _Reader:
    """One walk over one expression; collects mismatches and the types of the paths read."""

    def __init__(self) -> None:
        self.mismatches: list[Mismatch] = []
        self.paths: dict[Path, ValueType] = {}
        self.repeated: dict[Path, None] = {}

    def read(self, node: Node, environment: Environment) -> ValueType:
        """Return the type of a part of the expression; a contradictory type counts as any."""
        path = path_of(node)
        found = environment.paths.get(path) if path is not None else None
        if found is None:
            found = self._read(node, environment)
            found = ANY if found.is_empty else found
        if path in self.paths:
            self.repeated[path] = None
        elif path is not None:
            self.paths[path] = found
        return found

    def _read(self, node: Node, environment: Environment) -> ValueType:
        match node:
            case Constant(kind, value):
                return ValueType(kinds=frozenset((kind,)), values=None if kind == "bytes" else (value,))
            case Name(name):
                return environment.names.get(name, ANY)
            case Select(operand, name, is_tested):
                found = self._select(self.read(operand, environment), operand, name)
                return BOOL if is_tested else found
            case ListOf(items):
                listed = tuple(self.read(item, environment) for item in items)
                return replace(of_kind("list"), items=listed, element=join(listed))
            case MapOf(entries):
                fields = {
                    key.value: self.read(value, environment)
                    for key, value in entries
                    if isinstance(key, Constant) and isinstance(key.value, str)
                }
                return replace(of_kind("map"), fields=fields if len(fields) == len(entries) else None)
            case Loop():
                return self._loop(node, environment)
            case Call("_[_]", (operand, Constant("string", str(name)))):
                return self._select(self.read(operand, environment), operand, name)
            case Call(function, arguments):
                return self._call(function, arguments, tuple(self.read(each, environment) for each in arguments))

    def _select(self, operand_type: ValueType, operand: Node, name: str) -> ValueType:
        if "map" not in operand_type.kinds:
            self._report(f"{_named(operand, operand_type)}, which has no field '{name}'")
            return ANY
        return operations.member(operand_type, name)

    def _loop(self, node: Loop, environment: Environment) -> ValueType:
        items = self.read(node.items, environment)
        if not items.kinds & kinds("list", "map"):
            self._report(f"a macro goes over a list or an object, and {_named(node.items, items)}")
            return ANY
        variables = dict.fromkeys(node.variables, ANY)
        if "map" not in items.kinds:
            variables[node.variables[-1]] = operations.element(items)
        result = ValueType(kinds=self.read(node.start, environment).kinds)
        self.read(node.step, environment.with_names({**variables, node.result: result}))
        return self.read(node.end, environment.with_names({node.result: result}))

    def _call(self, function: str, nodes: tuple[Node, ...], types: tuple[ValueType, ...]) -> ValueType:
        match function, types:
            case "_&&_" | "_||_", _:
                return self._junction(function, nodes, types)
            case "_?_:_", (test, first, second):
                decided = self._boolean(nodes[0], test, "?").only
                return join((first, second)) if decided is None else first if decided[0] else second
            case "!_", (operand,):
                only = self._boolean(nodes[0], operand, "!").only
                return BOOL if only is None else truth([not only[0]])
            case "_[_]", (operand, _):
                return operations.element(operand) if operand.is_only("list") else ANY
            case _, (left, right) if function in COMPARISONS:
                outcomes = operations.compare(function, left, right)
                if not outcomes:
                    self._report(_misfit(function, nodes, left, right))
                return truth(outcomes)
            case _, (left, right) if function in ARITHMETIC:
                return self._arithmetic(function, nodes, left, right)
            case _:
                return self._function(function, nodes, types)

    def _junction(self, function: str, nodes: tuple[Node, ...], types: tuple[ValueType, ...]) -> ValueType:
        decisive = function == "_||_"
        outcomes = {
            self._boolean(node, value_type, SYMBOLS[function]).only
            for node, value_type in zip(nodes, types, strict=True)
        }
        if (decisive,) in outcomes:
            return truth([decisive])
        return truth([not decisive]) if outcomes == {(not decisive,)} else BOOL

    def _boolean(self, node: Node, value_type: ValueType, symbol: str) -> ValueType:
        if "bool" not in value_type.kinds:
            self._report(f"'{symbol}' needs true or false, and {_named(node, value_type)}")
        return value_type if value_type.is_only("bool") else BOOL

    def _arithmetic(self, function: str, nodes: tuple[Node, ...], left: ValueType, right: ValueType) -> ValueType:
        fitting: list[Kind] = [
            result for first, second, result in ARITHMETIC[function] if first in left.kinds and second in right.kinds
        ]
        symbol = SYMBOLS[function]
        if not fitting:
            self._report(f"'{symbol}' does not fit them: {_both(nodes, left, right)}")
            return ANY
        if operations.may_mix(left, right):
            message = f"'{symbol}' fails where one number is whole and the other is not: {_both(nodes, left, right)}"
            self.mismatches.append(Mismatch(message, is_certain=False))
        return of_kind(*fitting)

    def _function(self, function: str, nodes: tuple[Node, ...], types: tuple[ValueType, ...]) -> ValueType:
        if function not in FUNCTIONS:
            return ANY
        parameters, result = FUNCTIONS[function]
        name = SYMBOLS.get(function, function)
        for node, argument, needed in zip(nodes, types, parameters, strict=False):
            if not argument.kinds & needed:
                self._report(f"'{name}' needs {describe(ValueType(kinds=needed))}, and {_named(node, argument)}")
        if function == "double" and types[0].is_number:
            return replace(of_kind("double"), low=types[0].low, high=types[0].high)
        if function == "-_":
            return ValueType(kinds=types[0].kinds & (NUMBERS | kinds("duration")))
        return of_kind(result)

    def _report(self, message: str) -> None:
        self.mismatches.append(Mismatch(message))


def _misfit(function: str, nodes: tuple[Node, ...], left: ValueType, right: ValueType) -> str:
    if function in ("_==_", "_!=_"):
        return f"they are never equal: {_both(nodes, left, right)}"
    if function != "@in":
        return f"'{SYMBOLS[function]}' cannot compare them: {_both(nodes, left, right)}"
    if right.kinds & kinds("list", "map"):
        return f"nothing in the list is {describe(left)}, as {_called(nodes[0])} is"
    return f"'in' needs a list or an object, and {_named(nodes[1], right)}"


def _both(nodes: tuple[Node, ...], left: ValueType, right: ValueType) -> str:
    return f"{_named(nodes[0], left)}, {_named(nodes[1], right)}"


def _named(node: Node, value_type: ValueType) -> str:
    return f"{_called(node)} is {describe(value_type)}"


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

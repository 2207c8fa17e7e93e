"""Every problem code in the source that a client or an author can receive."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from playbooks.common import errors
from tests.support.pages import ROOT

_ROOMS = ("playbooks", "api", "runtime", "storage", "activities", "cli")
_REPORTERS = {"problem", "error", "warning", "Problem", "_SyntaxError", "_refusal", "_problem", "ProblemItem"}
_NAMED = ("_CODES", "CODE", "LIMIT")
_CODE = re.compile(r"[A-Z]+(_[A-Z]+)+|[A-Z]{5,}")


def codes_of_errors() -> set[str]:
    """Return the codes of the error classes, which the API answers."""

    def tree(kind: type[errors.PlaybooksError]) -> Iterator[str]:
        yield kind.code
        for child in kind.__subclasses__():
            yield from tree(child)

    return set(tree(errors.PlaybooksError))


def codes_of_problems() -> set[str]:
    """Return the codes at the places that report a problem, and in tables of codes."""
    found: set[str] = set()
    for room in _ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                found |= set(_reported(node))
    return found


def codes_of_runs() -> set[str]:
    """Return the codes with which a step or a run can fail."""
    found: set[str] = set()
    for room in (*_ROOMS, "recovery"):
        for path in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and _name(node.func) in ("StepError", "failed"):
                    found |= {code for argument in (*node.args, *node.keywords) for code in _literals(argument)}
                found |= set(_named_by_itself(node))
    return found


def _named_by_itself(node: ast.AST) -> Iterator[str]:
    """`X = "X"`: a code that has a name."""
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
        yield from (name.id for name in node.targets if isinstance(name, ast.Name) and name.id == node.value.value)


def _reported(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Call) and _name(node.func) in _REPORTERS:
        for argument in (*node.args, *(each.value for each in node.keywords)):
            yield from _literals(argument)
    # A table from rules to codes, a code that has a name, and a code that a function takes by default.
    if isinstance(node, ast.AnnAssign | ast.Assign) and node.value is not None:
        targets = [node.target] if isinstance(node, ast.AnnAssign) else node.targets
        if any(isinstance(target, ast.Name) and target.id in _NAMED for target in targets):
            yield from _literals(node.value)
    if isinstance(node, ast.FunctionDef):
        named = node.args.args[len(node.args.args) - len(node.args.defaults) :]
        for argument, default in zip(named, node.args.defaults, strict=True):
            if argument.arg == "code":
                yield from _literals(default)


def _literals(node: ast.AST) -> Iterator[str]:
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str) and _CODE.fullmatch(part.value):
            yield part.value


def _name(function: ast.expr) -> str:
    return (
        function.attr if isinstance(function, ast.Attribute) else function.id if isinstance(function, ast.Name) else ""
    )

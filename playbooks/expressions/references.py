"""The parts of a run's context that an expression reads, and how far its result can outgrow them.

Invariant: whatever an expression reads lies below one of the references returned; a path that only a run can complete
(`steps[k]`) is represented by its known beginning.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from playbooks.common.values import Path
from playbooks.expressions.syntax_tree import Call, Loop, Name, Node, Select, parts_of, split_path

_COPYING = frozenset({"_+_", "string", "bytes"})


@dataclass(frozen=True, slots=True)
class Reference:
    """A path that an expression reads. `is_tested`: only inside `has(...)`, so it may be absent."""

    path: Path
    is_tested: bool = False


@dataclass(frozen=True, slots=True)
class Growth:
    """How an expression can make more than it reads: `copies` counts what joins or copies texts and lists."""

    copies: int
    loops: int


def references_of(node: Node) -> tuple[Reference, ...]:
    """Return the references of an expression, each once, in order of path."""
    found = set(_references(node, frozenset()))
    return tuple(sorted(found, key=lambda reference: (reference.path, reference.is_tested)))


def growth_of(node: Node) -> Growth:
    """Return the growth of an expression."""
    copies = loops = 0
    stack = [node]
    while stack:
        part = stack.pop()
        loops += isinstance(part, Loop)
        copies += isinstance(part, Call) and part.function in _COPYING
        stack.extend(parts_of(part))
    return Growth(copies, loops)


def shortest(paths: Iterable[Path]) -> tuple[Path, ...]:
    """Return these paths without those that another one covers (a prefix covers all below it), sorted."""
    kept: list[Path] = []
    for path in sorted(set(paths)):
        # In this order everything below a path comes right after it.
        if not kept or path[: len(kept[-1])] != kept[-1]:
            kept.append(path)
    return tuple(kept)


def _references(node: Node, bound: frozenset[str]) -> Iterator[Reference]:
    """Yield what a node reads; `bound` are the names that a macro around it defines."""
    start, path = split_path(node)
    if isinstance(start, Name):
        if start.name not in bound:
            yield Reference((start.name, *path), is_tested=isinstance(node, Select) and node.is_tested)
    elif isinstance(start, Loop):
        inner = bound | {*start.variables, start.result}
        scopes = ((start.items, bound), (start.start, bound), (start.condition, inner), (start.step, inner))
        for part, names in (*scopes, (start.end, bound | {start.result})):
            yield from _references(part, names)
    else:
        for part in parts_of(start):
            yield from _references(part, bound)

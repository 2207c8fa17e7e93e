"""Order of steps: the default order (groups of neighbours), explicit dependencies, and what is upstream.

The result has no cycle, because every dependency that is kept names a step with a lower number.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from playbooks.common.errors import Problem, error, warning
from playbooks.document.model import DependencyDocument, PlaybookDocument, StepDocument
from playbooks.engine.model.plan import Dependency


@dataclass(frozen=True, slots=True)
class LocatedStep:
    """A step with its place in the document (a JSON Pointer)."""

    step: StepDocument
    pointer: str

    @property
    def key(self) -> str:
        return self.step.step_key


@dataclass(frozen=True, slots=True)
class Edge:
    """A valid explicit dependency: the key it names, and its place in the document."""

    target: str
    document: DependencyDocument
    pointer: str


@dataclass(frozen=True, slots=True)
class StepOrder:
    """`dependencies` and `upstream` (all steps finished before, at any distance) by key, in step order."""

    located: tuple[LocatedStep, ...]
    dependencies: Mapping[str, tuple[Dependency, ...]]
    edges: Mapping[str, tuple[Edge, ...]]
    upstream: Mapping[str, frozenset[str]]
    steps: Mapping[str, StepDocument]
    problems: tuple[Problem, ...]

    @property
    def final_steps(self) -> tuple[str, ...]:
        """Return the steps that nothing depends on."""
        needed = {dependency.step for items in self.dependencies.values() for dependency in items}
        return tuple(item.key for item in self.located if item.key not in needed)


def resolve_order(document: PlaybookDocument) -> StepOrder:
    """Resolve the order of a document's steps, with the problems of its dependencies. Never raises."""
    located = tuple(
        sorted(
            (LocatedStep(step, f"/steps/{index}") for index, step in enumerate(document.steps)),
            key=lambda item: item.step.step_number,
        )
    )
    problems: list[Problem] = []
    blocks = _blocks(located)
    problems += _split_groups(blocks)
    by_number = {item.step.step_number: item for item in located}
    named: dict[str, list[Edge]] = {}
    dependencies: dict[str, tuple[Dependency, ...]] = {}
    for before, block in zip([(), *blocks], blocks, strict=False):
        for item in block:
            if item.step.dependencies:
                named[item.key] = list(_edges(item, by_number, problems))
                kept = [Dependency(step=edge.target, kind=edge.document.dependency_type) for edge in named[item.key]]
                dependencies[item.key] = tuple(dict.fromkeys(kept))
            else:
                dependencies[item.key] = tuple(Dependency(step=other.key) for other in before)
    graph = {key: {dependency.step for dependency in items} for key, items in dependencies.items()}
    problems += _backward(located, named, graph)
    return StepOrder(
        located=located,
        dependencies=dependencies,
        edges={key: tuple(edges) for key, edges in named.items()},
        upstream=_upstream(located, graph),
        steps={item.key: item.step for item in located},
        problems=tuple(problems),
    )


def closest_step(key: str, keys: Iterable[str]) -> str | None:
    """Suggest an existing key for an unknown one."""
    close = get_close_matches(key, list(keys), 1)
    return f"did you mean '{close[0]}'?" if close else None


def _blocks(located: tuple[LocatedStep, ...]) -> list[tuple[LocatedStep, ...]]:
    """Group neighbours of one parallel group; every other step is alone."""
    blocks: list[tuple[LocatedStep, ...]] = []
    for item in located:
        group = item.step.parallel_group
        if blocks and group is not None and blocks[-1][0].step.parallel_group == group:
            blocks[-1] = (*blocks[-1], item)
        else:
            blocks.append((item,))
    return blocks


def _split_groups(blocks: list[tuple[LocatedStep, ...]]) -> Iterator[Problem]:
    seen: set[str] = set()
    for block in blocks:
        group = block[0].step.parallel_group
        if group in seen:
            message = f"the steps of group '{group}' are not neighbours: they do not run at the same time"
            yield warning(f"{block[0].pointer}/parallel_group", "GROUP_SPLIT", message, "number them one after another")
        if group is not None:
            seen.add(group)


def _edges(item: LocatedStep, by_number: Mapping[int, LocatedStep], problems: list[Problem]) -> Iterator[Edge]:
    for index, dependency in enumerate(item.step.dependencies or []):
        pointer = f"{item.pointer}/dependencies/{index}"
        target = _target(dependency, pointer, by_number)
        if isinstance(target, Problem):
            problems.append(target)
        else:
            problems.extend(_field_problems(dependency, pointer))
            yield Edge(target, dependency, pointer)


def _target(dependency: DependencyDocument, pointer: str, by_number: Mapping[int, LocatedStep]) -> str | Problem:
    number, key = dependency.depends_on_step_number, dependency.depends_on
    if (number is None) == (key is None):
        message = "a dependency names its step by depends_on_step_number or by depends_on"
        return error(pointer, "REQUIRED", message, "give exactly one of the two")
    if number is not None:
        found = by_number.get(number)
        place = f"{pointer}/depends_on_step_number"
        return found.key if found else error(place, "UNKNOWN_DEPENDENCY", f"there is no step number {number}")
    keys = [item.key for item in by_number.values()]
    if key not in keys:
        text = f"there is no step with the key '{key}'"
        return error(f"{pointer}/depends_on", "UNKNOWN_DEPENDENCY", text, closest_step(str(key), keys))
    return str(key)


def _field_problems(dependency: DependencyDocument, pointer: str) -> Iterator[Problem]:
    kind = dependency.dependency_type
    if kind == "conditional" and dependency.condition is None:
        yield error(f"{pointer}/condition", "REQUIRED", "a conditional dependency needs its condition")
    if kind != "conditional" and dependency.condition is not None:
        message = f"a {kind} dependency has no condition"
        yield error(f"{pointer}/condition", "NOT_ALLOWED", message, "make its dependency_type conditional")
    if kind != "data" and dependency.mapping is not None:
        message = f"a {kind} dependency has no mapping"
        yield error(f"{pointer}/mapping", "NOT_ALLOWED", message, "make its dependency_type data")


def _backward(
    located: tuple[LocatedStep, ...], named: Mapping[str, list[Edge]], graph: Mapping[str, set[str]]
) -> Iterator[Problem]:
    """Yield dependencies on a step that does not come before: a cycle, or only a wrong number."""
    position = {item.key: item.step.step_number for item in located}
    for key, edges in named.items():
        for edge in edges:
            if position[edge.target] < position[key]:
                continue
            if edge.target == key or key in _reachable(edge.target, graph):
                yield error(edge.pointer, "CYCLE", f"'{key}' and '{edge.target}' wait for each other")
            else:
                message = f"'{key}' comes before '{edge.target}', for which it waits"
                yield error(edge.pointer, "DEPENDENCY_NOT_EARLIER", message, "give it a higher step_number")


def _reachable(start: str, graph: Mapping[str, set[str]]) -> set[str]:
    found: set[str] = set()
    stack = [start]
    while stack:
        for other in graph[stack.pop()] - found:
            found.add(other)
            stack.append(other)
    return found


def _upstream(located: tuple[LocatedStep, ...], graph: Mapping[str, set[str]]) -> dict[str, frozenset[str]]:
    upstream: dict[str, frozenset[str]] = {}
    for item in located:
        direct = graph[item.key] & upstream.keys()
        upstream[item.key] = frozenset(direct).union(*(upstream[other] for other in direct))
    return upstream

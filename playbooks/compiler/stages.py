"""Shape of a document's flow: stages, parallel groups, the critical path, unreachable steps.

These figures are for people; the machine follows dependencies, not stages. Works for every document that can be read,
also for one that cannot be published yet: a dependency that does not lead to an earlier step only makes its step
unreachable.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from playbooks.common.errors import Problem
from playbooks.common.json_pointer import parts
from playbooks.compiler.order import StepOrder

_BLOCKING = frozenset({"UNREACHABLE_STEP", "CYCLE", "UNKNOWN_DEPENDENCY", "DEPENDENCY_NOT_EARLIER"})
"""Codes of problems that prevent a step from beginning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Steps that are independent of each other: level `number` of the graph. `minutes`: the longest of them."""

    number: int
    steps: tuple[str, ...]
    minutes: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ParallelGroup:
    """Neighbours with one `parallel_group`."""

    name: str
    steps: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CriticalPath:
    """The longest chain by `estimated_duration_minutes`; a step without an estimate counts as 0."""

    steps: tuple[str, ...]
    minutes: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreachable:
    """A step that can never run, with code and message of the problem that is the reason."""

    step: str
    code: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """Flow of a document; steps are keys in the order of their numbers. `total_minutes`: sum of all estimates."""

    stages: tuple[Stage, ...]
    parallel_groups: tuple[ParallelGroup, ...]
    critical_path: CriticalPath
    total_minutes: float
    without_estimate: tuple[str, ...]
    first_steps: tuple[str, ...]
    final_steps: tuple[str, ...]
    unreachable: tuple[Unreachable, ...]


def flow_of(order: StepOrder, problems: Iterable[Problem] = ()) -> Flow:
    """Compute the flow of an order. `problems` of the document's compilation tell which steps can never run."""
    keys = [item.key for item in order.located]
    minutes = {item.key: float(item.step.estimated_duration_minutes or 0) for item in order.located}
    before = _earlier(keys, order)
    return Flow(
        stages=tuple(_stages(keys, before, minutes)),
        parallel_groups=tuple(_groups(order)),
        critical_path=_critical_path(keys, before, minutes),
        total_minutes=sum(minutes.values()),
        without_estimate=tuple(item.key for item in order.located if item.step.estimated_duration_minutes is None),
        first_steps=tuple(key for key in keys if not before[key]),
        final_steps=order.final_steps,
        unreachable=tuple(_unreachable(order, [*order.problems, *problems])),
    )


def _earlier(keys: Sequence[str], order: StepOrder) -> dict[str, tuple[str, ...]]:
    """Return the dependencies of each step on earlier steps only, so that the graph has no cycle."""
    position = {key: index for index, key in enumerate(keys)}
    return {
        key: tuple(dict.fromkeys(item.step for item in order.dependencies[key] if position[item.step] < position[key]))
        for key in keys
    }


def _stages(
    keys: Sequence[str], before: Mapping[str, tuple[str, ...]], minutes: Mapping[str, float]
) -> Iterator[Stage]:
    level: dict[str, int] = {}
    for key in keys:
        level[key] = 1 + max((level[other] for other in before[key]), default=0)
    for number in sorted(set(level.values())):
        steps = tuple(key for key in keys if level[key] == number)
        yield Stage(number=number, steps=steps, minutes=max(minutes[key] for key in steps))


def _groups(order: StepOrder) -> Iterator[ParallelGroup]:
    for name, items in groupby(order.located, key=lambda item: item.step.parallel_group):
        if name is not None:
            yield ParallelGroup(name=name, steps=tuple(item.key for item in items))


def _critical_path(
    keys: Sequence[str], before: Mapping[str, tuple[str, ...]], minutes: Mapping[str, float]
) -> CriticalPath:
    # Without estimates the longer chain is the better guess.
    best: dict[str, tuple[float, int]] = {}
    came_from: dict[str, str | None] = {}
    for key in keys:
        last = max(before[key], key=lambda other: best[other], default=None)
        so_far = best[last] if last is not None else (0.0, 0)
        best[key] = (so_far[0] + minutes[key], so_far[1] + 1)
        came_from[key] = last
    at = max(keys, key=lambda key: best[key], default=None)
    total = best[at][0] if at is not None else 0.0
    path: list[str] = []
    while at is not None:
        path.append(at)
        at = came_from[at]
    return CriticalPath(steps=tuple(reversed(path)), minutes=total)


def _unreachable(order: StepOrder, problems: Sequence[Problem]) -> Iterator[Unreachable]:
    blocked = _blocked(order, problems)
    found: dict[str, Unreachable] = {}
    for item in order.located:
        reason = blocked.get(item.key)
        if reason is not None:
            found[item.key] = Unreachable(step=item.key, code=reason.code, reason=reason.message)
            continue
        for dependency in order.dependencies[item.key]:
            other = found.get(dependency.step)
            # Skipped counts as finished: it stops only steps that need the output or wait for one that never begins.
            if other is not None and (dependency.kind == "data" or not _is_skipped(other)):
                reason_text = f"it waits for '{dependency.step}', which can never run"
                found[item.key] = Unreachable(step=item.key, code=other.code, reason=reason_text)
                break
    yield from found.values()


def _is_skipped(step: Unreachable) -> bool:
    return step.code == "UNREACHABLE_STEP"


def _blocked(order: StepOrder, problems: Sequence[Problem]) -> dict[str, Problem]:
    """Return the first problem that stops each step, by its key."""
    by_index = {parts(item.pointer)[1]: item.key for item in order.located}
    found: dict[str, Problem] = {}
    for each in problems:
        match parts(each.pointer):
            case ("steps", index, *_) if each.code in _BLOCKING and index in by_index:
                found.setdefault(by_index[index], each)
            case _:
                pass
    return found

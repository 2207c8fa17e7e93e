"""Order of steps: which may begin, and which never will."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from playbooks.common.values import FINISHED_STEP
from playbooks.engine.model.plan import JoinPlan, MutexPlan, Plan, PlanStep
from playbooks.engine.model.state import RunState


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreachable:
    """The step is skipped, for this reason."""

    reason: str


Readiness: TypeAlias = Literal["blocked", "ready"] | Unreachable


def readiness(plan: Plan, step: PlanStep, state: RunState) -> Readiness:
    """Return whether a pending step may begin: its dependencies allow it, and no mutex excludes it."""
    found = _of_dependencies(step, state) if step.join is None else _of_join(step, step.join, state)
    if found == "ready" and step.mutex is not None and _is_excluded(plan, step.mutex, state):
        return "blocked"
    return found


def _of_dependencies(step: PlanStep, state: RunState) -> Readiness:
    """Every dependency is finished, and each `data` one is completed."""
    for dependency in step.dependencies:
        if state.steps[dependency.step].status not in FINISHED_STEP:
            return "blocked"
    for dependency in step.dependencies:
        status = state.steps[dependency.step].status
        if dependency.kind == "data" and status != "completed":
            return Unreachable(reason=f"needs the output of step '{dependency.step}', which is {status}")
    return "ready"


def _of_join(step: PlanStep, join: JoinPlan, state: RunState) -> Readiness:
    """Enough dependencies are completed; one that ended otherwise never will be."""
    statuses = [state.steps[dependency.step].status for dependency in step.dependencies]
    completed = sum(status == "completed" for status in statuses)
    if completed >= join.needed:
        return "ready"
    if completed + sum(status not in FINISHED_STEP for status in statuses) >= join.needed:
        return "blocked"
    return Unreachable(reason=f"needs {join.needed} completed steps before it, and only {completed} are")


def _is_excluded(plan: Plan, mutex: MutexPlan, state: RunState) -> bool:
    """Return whether another region of the mutex is between its begin and its end."""
    statuses: dict[str, list[str]] = {}
    for other in plan.steps:
        if other.mutex is not None and other.mutex.name == mutex.name and other.mutex.region != mutex.region:
            statuses.setdefault(other.mutex.region, []).append(state.steps[other.key].status)
    return any(_is_inside(region) for region in statuses.values())


def _is_inside(statuses: list[str]) -> bool:
    has_begun = any(status != "pending" for status in statuses)
    return has_begun and any(status not in FINISHED_STEP for status in statuses)


def downstream(plan: Plan, key: str) -> tuple[str, ...]:
    """Return the step and all that depend on it, at any distance, in order."""
    found = {key}
    for step in plan.steps:
        if any(dependency.step in found for dependency in step.dependencies):
            found.add(step.key)
    return tuple(step.key for step in plan.steps if step.key in found)


def only_for(plan: Plan, key: str) -> tuple[str, ...]:
    """Return the steps that lead to this step and to nothing else."""
    found = {key}
    for step in reversed(plan.steps):
        dependents = {other.key for other in plan.steps if any(each.step == step.key for each in other.dependencies)}
        if dependents and dependents <= found:
            found.add(step.key)
    return tuple(step.key for step in plan.steps if step.key in found - {key})

"""Which step may begin, and which can never begin any more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from playbooks.plan import PlanStep
from playbooks.state import RunState
from playbooks.values import FINISHED_STEP


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreachable:
    """The step is to be skipped, for this reason."""

    reason: str


Readiness: TypeAlias = Literal["blocked", "ready"] | Unreachable


def readiness(step: PlanStep, state: RunState) -> Readiness:
    """Whether a pending step may begin: every dependency is finished, and each `data` one is completed."""
    for dependency in step.dependencies:
        if state.steps[dependency.step].status not in FINISHED_STEP:
            return "blocked"
    for dependency in step.dependencies:
        status = state.steps[dependency.step].status
        if dependency.kind == "data" and status != "completed":
            return Unreachable(reason=f"needs the output of step '{dependency.step}', which is {status}")
    return "ready"

"""Duration of a simulated run: by its virtual clock, and by `estimated_duration_minutes` along the critical path.

A step without an estimate counts as 0 and is listed.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta

from playbooks.simulation.outcome import Simulated


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """`elapsed` is the virtual clock's: estimates, timers, delays of retries, windows. `critical_path` are the keys of
    the dependent steps with the longest sum of estimates, `critical_minutes`; `work_minutes` sums all begun steps."""

    elapsed: timedelta
    critical_path: tuple[str, ...]
    critical_minutes: float
    work_minutes: float
    without_estimate: tuple[str, ...]


def estimate_of(simulated: Simulated) -> Estimate:
    """Estimate the steps that ran; each visit counts."""
    plan = simulated.plan
    visits = Counter(key for (key, _), visit in simulated.visits.items() if visit.has_begun)
    minutes = {step.key: (step.estimated_minutes or 0.0) * visits[step.key] for step in plan.steps}
    longest: dict[str, float] = {}
    before: dict[str, str | None] = {}
    # Steps are in an order in which dependencies come first.
    for step in plan.steps:
        earlier = [dependency.step for dependency in step.dependencies if dependency.step in longest]
        before[step.key] = max(earlier, key=lambda key: longest[key], default=None)
        longest[step.key] = minutes[step.key] + max((longest[key] for key in earlier), default=0.0)
    last = max(longest, key=lambda key: longest[key], default=None)
    path: list[str] = []
    at = last
    while at is not None:
        if visits[at]:
            path.append(at)
        at = before[at]
    return Estimate(
        elapsed=simulated.ended_at - simulated.started_at,
        critical_path=tuple(reversed(path)),
        critical_minutes=longest[last] if last is not None else 0.0,
        work_minutes=sum(minutes.values()),
        without_estimate=tuple(step.key for step in plan.steps if visits[step.key] and step.estimated_minutes is None),
    )

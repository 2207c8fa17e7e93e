"""Random control flow for random plans: joins, loops, ways back, signals, mutual exclusion."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

from playbooks.engine.model.plan import (
    ApprovalPlan,
    BackPlan,
    ChildPlan,
    ForEachPlan,
    JoinPlan,
    MutexPlan,
    PlanStep,
    SignalPlan,
)


def with_random_flow(rng: Random, steps: list[PlanStep]) -> list[PlanStep]:
    """The steps, some of them with control flow that a document could have."""
    upstream: dict[str, set[str]] = {}
    for each in steps:
        before = {dependency.step for dependency in each.dependencies}
        upstream[each.key] = before.union(*(upstream[key] for key in before))
    return [_one(rng, each, upstream) for each in steps]


def _one(rng: Random, step: PlanStep, upstream: dict[str, set[str]]) -> PlanStep:
    changes: dict[str, Any] = {}
    back = BackPlan(step=rng.choice([step.key, *sorted(upstream[step.key])]), max=rng.randint(1, 3))
    later = sorted(key for key, before in upstream.items() if step.key in before)
    count = len(step.dependencies)
    if count > 1 and rng.random() < 0.5:
        changes["join"] = JoinPlan(needed=rng.randint(1, count), cancels_others=rng.random() < 0.5)
    roll = rng.random()
    if roll < 0.2:
        changes["for_each"] = ForEachPlan(
            max_concurrency=rng.randint(1, 3),
            enough=rng.choice([None, 1, 2]),
            has_condition=rng.random() < 0.3,
            cancels_others=rng.random() < 0.5,
            tolerated_failures=rng.randint(0, 2),
        )
    elif roll < 0.35:
        changes["repeat"] = back
    elif roll < 0.45 and step.carrier == "task":
        approval = step.approval or ApprovalPlan()
        changes["approval"] = replace(approval, returns=replace(back, on=("approved", "rejected", "changes_requested")))
    elif roll < 0.55 and step.carrier == "pure":
        signal = SignalPlan(names=("go", "halt"), keeps=rng.random() < 0.5, has_contract=rng.random() < 0.5)
        changes |= {"carrier": "signal", "worker_type": "signal_wait", "signal": signal}
    if rng.random() < 0.3:
        action = rng.choice(["goto", "compensate", "incident"])
        target = rng.choice([back.step, *later])
        changes |= {"critical": True, "on_error": action}
        changes["goto"] = replace(back, step=target) if action == "goto" else None
    if step.carrier == "effect" and step.step_type != "ai" and rng.random() < 0.3:
        child = ChildPlan(code="other", waits=rng.random() < 0.8, timeout_seconds=rng.choice([None, None, 60.0]))
        changes |= {"carrier": "child", "worker_type": "sub_playbook", "step_type": "system", "child": child}
    if rng.random() < 0.3:
        changes["mutex"] = MutexPlan(name="lock", region=step.key)
    return replace(step, **changes)

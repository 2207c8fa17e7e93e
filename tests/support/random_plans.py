"""Random plans, outcomes and messages: equal seeds give equal ones, so a failing seed is a repeatable test."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

from playbooks.common.values import ErrorKind, JsonObject, StepError
from playbooks.engine.model.plan import ApprovalPlan, BudgetPlan, Dependency, Plan, PlanStep, RetryPolicy
from playbooks.engine.model.temporal_messages import StepOutcome
from tests.support.plans import effect, human, plan_of, step, undoing
from tests.support.random_flow import with_random_flow

START = datetime(2026, 11, 2, 8, 0, tzinfo=UTC)
PEOPLE = ("anna", "ben", "cora", "dan", "ines")
_ROLES: dict[str, tuple[str, ...]] = {
    "anna": ("approver",),
    "ben": ("approver", "chief"),
    "cora": ("approver",),
    "dan": ("clerk",),
    "ines": ("approver",),
}
STEP_VERBS = ("complete_step", "fail_step", "retry_step", "skip_step")
_KINDS: tuple[ErrorKind, ...] = ("network", "timeout", "system", "business_rule", "rate_limited")


def random_plan(rng: Random, *, max_steps: int = 6, has_clocks: bool = True, has_flow: bool = True) -> Plan:
    """A plan of one to `max_steps` steps; without clocks, nothing in it waits longer than milliseconds.

    `has_flow`: with joins, loops, ways back, signals, mutual exclusion and compensation.
    """
    steps: list[PlanStep] = []
    for number in range(1, rng.randint(1, max_steps) + 1):
        steps.append(_random_step(rng, number, steps, has_clocks=has_clocks))
    compensations: list[PlanStep] = []
    if has_flow and rng.random() < 0.7:
        steps = with_random_flow(rng, steps)
        undone = [each for each in steps if rng.random() < 0.3]
        compensations = [undoing(each.key, each.number) for each in undone]
    budget = None
    if rng.random() < 0.3:
        on_exceed: Any = rng.choice(["pause", "fail", "warn"])
        budget = BudgetPlan(max_cost=Decimal(rng.randint(0, 6)), currency="USD", on_exceed=on_exceed)
    minutes = rng.choice([None, None, 30.0]) if has_clocks else None
    return plan_of(*steps, budget=budget, timeout_minutes=minutes, compensations=tuple(compensations))


def _random_step(rng: Random, number: int, earlier: list[PlanStep], *, has_clocks: bool) -> PlanStep:
    keys = [other.key for other in earlier]
    after = rng.sample(keys, rng.randint(0, min(2, len(keys))))
    kinds: list[Any] = ["sequential", "sequential", "conditional", "data"]
    fields: dict[str, Any] = {
        "dependencies": tuple(Dependency(step=key, kind=rng.choice(kinds)) for key in after),
        "has_condition": rng.random() < 0.3,
        "critical": rng.random() < 0.7,
        "cost": Decimal(rng.randint(0, 3)),
        "retry": RetryPolicy(max_retries=rng.randint(0, 2), initial_delay_ms=5, max_delay_ms=40),
        "references": (("input",), *((("steps", key),) if (key := rng.choice([*keys, ""])) else ())),
    }
    make: Callable[..., PlanStep] = rng.choice([step, step, effect, effect, human, _timer if has_clocks else human])
    if make is effect and rng.random() < 0.3:
        fields |= {"step_type": "ai", "worker_type": "scripted", "required_roles": ("approver",)}
    if make is human:
        people = [other.key for other in earlier if other.carrier == "task"]
        fields["approval"] = _random_approval(rng, people, has_clocks=has_clocks)
    return make(f"s{number}", number, **fields)


def _timer(key: str, number: int, **fields: Any) -> PlanStep:
    return step(key, number, worker_type="timer", carrier="timer", **fields)


def _random_approval(rng: Random, people: list[str], *, has_clocks: bool) -> ApprovalPlan | None:
    if rng.random() < 0.3:
        return None
    threshold = rng.randint(1, 3)
    action: Any = rng.choice(["timed_out", "escalate", "approve", "reject", "fail"])
    on_reject: Any = rng.choice(["continue", "continue", "fail"])
    return ApprovalPlan(
        threshold=threshold,
        max_voters=threshold + rng.randint(0, 1),
        consensus=rng.choice([0.0, 0.5, 0.67, 1.0]),
        self_approval=rng.random() < 0.5,
        different_from=tuple(rng.sample(people, min(1, len(people)))) if rng.random() < 0.3 else (),
        window_minutes=rng.choice([None, 5.0]) if has_clocks else None,
        reminder_minutes=(1.0, 2.0) if rng.random() < 0.5 else (),
        on_timeout=action,
        escalate_to_roles=("chief",),
        on_reject=on_reject,
    )


def random_outcome(rng: Random, plan_step: PlanStep) -> StepOutcome:
    """Draw the outcome of an attempt: mostly success, sometimes each kind of failure."""
    roll = rng.random()
    if plan_step.has_condition and roll < 0.15 and plan_step.carrier == "pure":
        return StepOutcome(status="skipped", reason="its condition is false", values={"input.x": 1})
    if roll < 0.3:
        code = rng.choice(["HTTP_500", "HTTP_500", "NOT_STARTED"])
        delay = rng.choice([None, 7])
        error = StepError(kind=rng.choice(_KINDS), code=code, message="it failed", retry_after_ms=delay)
        return StepOutcome(status="failed", error=error)
    is_ai = plan_step.step_type == "ai"
    return StepOutcome(
        status="succeeded",
        input={"n": 1},
        output={"step": plan_step.key, "n": rng.randint(0, 9)},
        confidence=0.5 if is_ai else None,
        needs_review=is_ai and roll > 0.7,
        elapsed_ms=rng.choice([0, 1, 300]),
    )


def random_end_of_child(rng: Random) -> StepOutcome:
    """Draw what a child's row may show."""
    roll = rng.random()
    if roll < 0.4:
        return StepOutcome(status="ready")
    if roll < 0.6:
        error = StepError(kind="business_rule", code="CHILD_FAILED", message="it failed")
        return StepOutcome(status="failed", error=error)
    return StepOutcome(status="succeeded", output={"status": "completed", "output": rng.randint(0, 9)})


def random_message(rng: Random, plan: Plan) -> tuple[str, JsonObject]:
    """A control message for a run of this plan: any verb, any person, any step, sometimes before its time."""
    verb = rng.choice(
        ["decide"] * 8 + ["claim", "release", "pause", "resume", "resume", "resume", "signal", *STEP_VERBS]
    )
    if verb == "signal":
        return verb, {"name": rng.choice(["go", "stop"]), "payload": rng.randint(0, 9)}
    if verb in STEP_VERBS:
        return verb, {"step": rng.choice(plan.steps).key, "actor": {"sub": "ben", "roles": list(_ROLES["ben"])}}
    if verb == "pause" and rng.random() < 0.5:
        return verb, {"until": (START + timedelta(minutes=rng.randint(0, 20))).isoformat()}
    if verb in ("pause", "resume"):
        return verb, {"reason": "because"}
    name = rng.choice(PEOPLE)
    body: JsonObject = {"step": rng.choice(plan.steps).key, "actor": {"sub": name, "roles": list(_ROLES[name])}}
    if verb == "decide":
        choices = ["approve"] * 6 + ["reject", "abstain", "request_changes"]
        body |= {"decision": rng.choice(choices), "data": {"score": rng.randint(1, 9)}}
    return verb, body

"""The part of a step's evaluation that the timeline shows: everything but values marked `x-sensitive`."""

from __future__ import annotations

from playbooks.common.json_pointer import transform_at
from playbooks.common.values import Json, JsonObject, PayloadRef
from playbooks.engine.model.plan import Plan, PlanStep
from playbooks.engine.model.temporal_messages import StepOutcome

HIDDEN = "***"


def safe_evaluation(plan: Plan, step: PlanStep, outcome: StepOutcome) -> JsonObject:
    """`{input, values}` of an evaluation: the resolved input and what the condition read, by path."""
    return {"input": _safe_input(step, outcome.input), "values": safe_values(plan, outcome.values)}


def safe_values(plan: Plan, values: JsonObject) -> JsonObject:
    """Return what a condition read, by path, without sensitive values."""
    secret = _sensitive_paths(plan) if values else ()
    return {path: HIDDEN if _touches(path, secret) else value for path, value in sorted(values.items())}


def _safe_input(step: PlanStep, value: Json | PayloadRef) -> Json:
    if isinstance(value, PayloadRef):
        return {"stored_bytes": value.size_bytes}
    return transform_at(value, step.sensitive_input, lambda _: HIDDEN)


def _sensitive_paths(plan: Plan) -> tuple[str, ...]:
    paths = ["input" + pointer.replace("/", ".") for pointer in plan.sensitive_input]
    for step in plan.steps:
        paths += [f"steps.{step.key}.output" + pointer.replace("/", ".") for pointer in step.sensitive_output]
    return tuple(paths)


def _touches(path: str, secret: tuple[str, ...]) -> bool:
    """A value is hidden where it is marked, lies below a mark, or holds something marked."""
    return any(f"{path}.".startswith(f"{mark}.") or f"{mark}.".startswith(f"{path}.") for mark in secret)

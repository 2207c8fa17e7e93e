"""Conditions of a step: its own, then those of its conditional dependencies.

The result carries the values that were read, so that the timeline can show why a step was skipped.
"""

from __future__ import annotations

from playbooks.common.values import Json, JsonObject
from playbooks.document.model import DependencyDocument, StepDocument
from playbooks.engine.model.plan import Plan
from playbooks.expressions import cel

_MAX_SHOWN = 200


def skip_of(plan: Plan, document: StepDocument, context: JsonObject) -> tuple[str | None, JsonObject]:
    """Return why the step is skipped (None: it is not), and the values read by path.

    `context` is the run's. Raises MappingError where a condition cannot be evaluated.
    """
    values: JsonObject = {}
    for condition, source in _conditions(plan, document):
        result = cel.evaluate_condition(condition, context)
        values |= result.values
        if not result.holds:
            return f"{source} is false: {_shown(condition)}", values
    return None, values


def _conditions(plan: Plan, document: StepDocument) -> list[tuple[Json, str]]:
    found: list[tuple[Json, str]] = []
    if document.condition is not None:
        found.append((document.condition, "its condition"))
    for dependency in document.dependencies or []:
        if dependency.dependency_type == "conditional" and dependency.condition is not None:
            found.append((dependency.condition, f"its condition on step '{step_key_of(plan, dependency)}'"))
    return found


def step_key_of(plan: Plan, dependency: DependencyDocument) -> str:
    """Return the key of the step that a dependency names, by key or by number; "" where there is none."""
    if dependency.depends_on is not None:
        return dependency.depends_on
    return next((step.key for step in plan.steps if step.number == dependency.depends_on_step_number), "")


def _shown(condition: Json) -> str:
    if isinstance(condition, dict):
        field, operator, value = (condition.get(name) for name in ("field", "operator", "value"))
        text = f"{field} {operator}" if value is None else f"{field} {operator} {value}"
    else:
        text = str(condition)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."

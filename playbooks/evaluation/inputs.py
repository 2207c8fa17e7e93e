"""Input of a step: its mapping, or the run's input merged with the outputs of its data dependencies.

An AI or external step never gets a value marked `x-sensitive` that the author did not name.
"""

from __future__ import annotations

from playbooks.common.errors import MappingError, Problem
from playbooks.common.json_pointer import from_parts, join, pick, without
from playbooks.common.values import Json, JsonObject
from playbooks.document.model import StepDocument
from playbooks.engine.model.plan import Plan, PlanStep
from playbooks.evaluation.conditions import step_key_of
from playbooks.expressions import cel

_OUTSIDE = frozenset({"ai", "external"})


def resolve_input(plan: Plan, step: PlanStep, document: StepDocument, context: JsonObject) -> Json:
    """Return the step's input from the run's `context`. Raises MappingError with the path that is missing.

    With an `input` mapping: that mapping, over the results of its data dependencies' `mapping`s. Without one: the
    run's input, under the (mapped) outputs of its data dependencies, later ones over earlier ones.
    """
    withholds = step.step_type in _OUTSIDE
    if document.input is not None:
        mapped = cel.resolve(document.input, context, "/input")
        brought = _brought(plan, document, context, whole_outputs=False, withholds=False)
        return {**brought, **_object(mapped, ("input",))} if brought else mapped
    run_input = context.get("input", {})
    base = without(run_input, plan.sensitive_input) if withholds else run_input
    brought = _brought(plan, document, context, whole_outputs=True, withholds=withholds)
    return {**_object(base, ("input",)), **brought}


def _brought(
    plan: Plan, document: StepDocument, context: JsonObject, *, whole_outputs: bool, withholds: bool
) -> JsonObject:
    """Return what data dependencies add to the input. One that a join left uncompleted adds nothing."""
    brought: JsonObject = {}
    for index, dependency in enumerate(document.dependencies or []):
        if dependency.dependency_type != "data":
            continue
        key = step_key_of(plan, dependency)
        if document.join is not None and not _is_completed(context, key):
            continue
        path = ("steps", key, "output")
        if dependency.mapping is not None:
            added = cel.resolve(dependency.mapping, context, f"/dependencies/{index}/mapping")
        elif whole_outputs:
            output = _output_of(context, path)
            added = without(output, plan.step(key).sensitive_output) if withholds else output
        else:
            continue
        brought |= _object(added, path)
    return brought


def _is_completed(context: JsonObject, key: str) -> bool:
    return pick(context, join("", "steps", key, "status")) == "completed"


def _output_of(context: JsonObject, path: tuple[str, str, str]) -> Json:
    value: Json = context
    for name in path:
        if not isinstance(value, dict) or name not in value:
            raise _refusal(path, "MISSING_PATH", "is missing")
        value = value[name]
    return value


def _object(value: Json, path: tuple[str, ...]) -> JsonObject:
    """Return the value as fields to merge; none where the whole value is withheld (None)."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _refusal(path, "NOT_AN_OBJECT", "is not an object, so it cannot be merged: give it a mapping")
    return value


def _refusal(path: tuple[str, ...], code: str, reason: str) -> MappingError:
    message = f"'{'.'.join(path)}' {reason}"
    return MappingError(message, (Problem(pointer=from_parts(path), code=code, message=message),))

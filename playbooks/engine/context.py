"""The parts of a run that a step's expressions refer to, by the references that the compiler found.

Values that were stored by reference stay references: the activity loads them.
"""

from __future__ import annotations

from collections.abc import Iterable

from playbooks.common.values import Json, JsonObject, Path, PayloadRef
from playbooks.engine.model.state import RunState


def build_context(state: RunState, references: Iterable[Path]) -> tuple[JsonObject, dict[str, PayloadRef]]:
    """Return the context `{input, steps, run, vars}` cut to `references`, and the references to stored outputs in it.

    A path stands for everything below it. A path that leads nowhere is left out: reading it is then the
    expression's error, with its path.
    """
    context: JsonObject = {}
    stored: dict[str, PayloadRef] = {}
    for path in _outermost(references):
        match path:
            case ("input", *rest):
                _copy(context, "input", state.input, rest)
            case ("vars", *rest):
                _copy(context, "vars", state.variables, rest)
            case ("run", *rest):
                _copy(context, "run", _run_facts(state), rest)
            case ("steps", key, *rest) if key in state.steps:
                _copy_step(context, stored, state, key, rest)
            case ("steps",):
                for key in state.steps:
                    _copy_step(context, stored, state, key, [])
            case _:
                continue
    return context, stored


def _run_facts(state: RunState) -> JsonObject:
    return {
        "id": str(state.execution_id),
        "priority": state.priority,
        "initiated_by": str(state.initiator.id),
        "started_at": state.started_at.isoformat() if state.started_at else None,
        "cost": float(state.cost),
    }


def _copy_step(context: JsonObject, stored: dict[str, PayloadRef], state: RunState, key: str, rest: list[str]) -> None:
    step = state.steps[key]
    facts: JsonObject = {"status": step.status}
    if isinstance(step.output, PayloadRef):
        stored[key] = step.output
    elif step.status == "completed" or (step.status == "skipped" and step.output is not None):
        facts["output"] = step.output
    steps = context.setdefault("steps", {})
    if isinstance(steps, dict):
        _copy(steps, key, facts, rest)


def _outermost(references: Iterable[Path]) -> list[Path]:
    """Return the paths that no other path covers, in a fixed order."""
    paths = set(references)
    return sorted(path for path in paths if not any(path[:size] in paths for size in range(1, len(path))))


def _copy(target: JsonObject, name: str, source: Json, rest: list[str]) -> None:
    """Copy `source` at `rest` into `target[name]`, keeping its path."""
    if not rest or not isinstance(source, dict):
        target[name] = source
        return
    inner = target.setdefault(name, {})
    head, *tail = rest
    if isinstance(inner, dict) and head in source:
        _copy(inner, head, source[head], tail)

"""Every place of a document that holds expressions, with the types inferred there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from playbooks.common.values import Json
from playbooks.compiler import control_flow
from playbooks.compiler.checks.step_types import StepTypes
from playbooks.compiler.order import LocatedStep, StepOrder
from playbooks.compiler.references import matching
from playbooks.document.handler_catalog import HandlerDescription
from playbooks.document.model import PlaybookDocument
from playbooks.inference import mappings
from playbooks.inference.environment import Names
from playbooks.inference.mappings import Inferred

Role: TypeAlias = Literal["condition", "rule", "loop", "mapping", "list"]
"""`condition`: decides whether a step runs; `rule`: true or false within a handler; `loop`: whether a loop goes on,
or is over; `mapping`: makes a value; `list`: makes what a `for_each` goes over."""

Handlers: TypeAlias = Mapping[str, HandlerDescription | None]


@dataclass(frozen=True, slots=True)
class ExpressionSite:
    """A condition or a mapping, and its type."""

    pointer: str
    value: Json
    role: Role
    inferred: Inferred


def sites(
    document: PlaybookDocument, order: StepOrder, handlers: Handlers, types: StepTypes
) -> Iterator[ExpressionSite]:
    """Yield the expression sites of a document, step by step. `handlers` by step key."""
    names = types.names()
    for item in order.located:
        yield from _of_step(order, item, types)
        yield from _of_loops(item, types)
        yield from _of_undoing(item, handlers, types)
        handler = handlers.get(item.key)
        if handler is not None:
            yield from _of_config(item, handler, types.config_names(item.key))
    concurrency = document.policies.concurrency if document.policies else None
    if concurrency is not None:
        yield _site("/policies/concurrency/key", concurrency.key, "mapping", {"input": types.run_input})
    if document.output is not None:
        yield _site("/output", document.output, "mapping", names)


def _of_step(order: StepOrder, item: LocatedStep, types: StepTypes) -> Iterator[ExpressionSite]:
    step, names = item.step, types.names()
    if step.condition is not None:
        yield _site(f"{item.pointer}/condition", step.condition, "condition", names)
    for edge in order.edges.get(item.key, ()):
        if edge.document.condition is not None and edge.document.dependency_type == "conditional":
            yield _site(f"{edge.pointer}/condition", edge.document.condition, "condition", names)
        if edge.document.mapping is not None:
            yield _site(f"{edge.pointer}/mapping", edge.document.mapping, "mapping", names)
    if step.input is not None:
        yield _site(f"{item.pointer}/input", step.input, "mapping", types.input_names(item.key))


def _of_loops(item: LocatedStep, types: StepTypes) -> Iterator[ExpressionSite]:
    for_each, repeat = item.step.for_each, item.step.repeat
    if for_each is not None:
        place = f"{item.pointer}/for_each"
        role: Role = "list" if control_flow.may_be_list(for_each.items) else "mapping"
        yield _site(f"{place}/items", for_each.items, role, types.names())
        if isinstance(for_each.complete_when, str):
            yield _site(f"{place}/complete_when", for_each.complete_when, "loop", types.loop_names(item.key))
    if repeat is not None:
        yield _site(f"{item.pointer}/repeat/while", repeat.while_, "loop", types.names())


def _of_undoing(item: LocatedStep, handlers: Handlers, types: StepTypes) -> Iterator[ExpressionSite]:
    undo = control_flow.located_undo(item)
    if undo is None or undo.step.input is None:
        return
    names = types.undo_names(item.key)
    own_input = _site(f"{undo.pointer}/input", undo.step.input, "mapping", names)
    yield own_input
    handler = handlers.get(undo.key)
    if handler is not None:
        yield from _of_config(undo, handler, {**names, "input": own_input.inferred.type})


def _of_config(item: LocatedStep, handler: HandlerDescription, names: Names) -> Iterator[ExpressionSite]:
    config, pointer = item.step.config or {}, f"{item.pointer}/config"
    for place, value in matching(config, pointer, handler.conditions):
        yield _site(place, value, "rule", names)
    for place, value in matching(config, pointer, (*handler.templates, *handler.answers)):
        yield _site(place, value, "mapping", names)


def _site(pointer: str, value: Json, role: Role, names: Names) -> ExpressionSite:
    infer = mappings.mapping if role in ("mapping", "list") else mappings.condition
    return ExpressionSite(pointer, value, role, infer(value, pointer, names))

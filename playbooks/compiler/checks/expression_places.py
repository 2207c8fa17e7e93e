"""Every place of a document that holds expressions, with what is known of the names there.

Owns the list of places. Must not judge what stands in them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from playbooks.common.values import Json
from playbooks.compiler import control_flow
from playbooks.compiler.checks.step_types import StepTypes
from playbooks.compiler.order import Order, Placed
from playbooks.compiler.references import matching
from playbooks.document.handler_catalog import HandlerDescription
from playbooks.document.model import PlaybookDocument
from playbooks.inference import mappings
from playbooks.inference.infer import Names
from playbooks.inference.mappings import Typed

Role: TypeAlias = Literal["condition", "rule", "loop", "mapping", "list"]
"""`condition`: decides whether a step runs; `rule`: true or false within a handler; `loop`: whether a loop goes on,
or is over; `mapping`: makes a value; `list`: makes what a `for_each` goes over."""

Handlers: TypeAlias = Mapping[str, HandlerDescription | None]


@dataclass(frozen=True, slots=True)
class Place:
    """A condition or a mapping, and what it can give."""

    pointer: str
    value: Json
    role: Role
    typed: Typed


def places(document: PlaybookDocument, order: Order, handlers: Handlers, types: StepTypes) -> Iterator[Place]:
    """The places of a document, step by step. `handlers` by step key."""
    names = types.names()
    for item in order.placed:
        yield from _of_step(order, item, types)
        yield from _of_loops(item, types)
        yield from _of_undoing(item, handlers, types)
        handler = handlers.get(item.key)
        if handler is not None:
            yield from _of_config(item, handler, types.config_names(item.key))
    concurrency = document.policies.concurrency if document.policies else None
    if concurrency is not None:
        yield _place("/policies/concurrency/key", concurrency.key, "mapping", {"input": types.run_input})
    if document.output is not None:
        yield _place("/output", document.output, "mapping", names)


def _of_step(order: Order, item: Placed, types: StepTypes) -> Iterator[Place]:
    step, names = item.step, types.names()
    if step.condition is not None:
        yield _place(f"{item.pointer}/condition", step.condition, "condition", names)
    for edge in order.edges.get(item.key, ()):
        if edge.document.condition is not None and edge.document.dependency_type == "conditional":
            yield _place(f"{edge.pointer}/condition", edge.document.condition, "condition", names)
        if edge.document.mapping is not None:
            yield _place(f"{edge.pointer}/mapping", edge.document.mapping, "mapping", names)
    if step.input is not None:
        yield _place(f"{item.pointer}/input", step.input, "mapping", types.input_names(item.key))


def _of_loops(item: Placed, types: StepTypes) -> Iterator[Place]:
    for_each, repeat = item.step.for_each, item.step.repeat
    if for_each is not None:
        place = f"{item.pointer}/for_each"
        role: Role = "list" if control_flow.may_be_list(for_each.items) else "mapping"
        yield _place(f"{place}/items", for_each.items, role, types.names())
        if isinstance(for_each.complete_when, str):
            yield _place(f"{place}/complete_when", for_each.complete_when, "loop", types.loop_names(item.key))
    if repeat is not None:
        yield _place(f"{item.pointer}/repeat/while", repeat.while_, "loop", types.names())


def _of_undoing(item: Placed, handlers: Handlers, types: StepTypes) -> Iterator[Place]:
    undo = control_flow.undo_placed(item)
    if undo is None or undo.step.input is None:
        return
    names = types.undo_names(item.key)
    own_input = _place(f"{undo.pointer}/input", undo.step.input, "mapping", names)
    yield own_input
    handler = handlers.get(undo.key)
    if handler is not None:
        yield from _of_config(undo, handler, {**names, "input": own_input.typed.known})


def _of_config(item: Placed, handler: HandlerDescription, names: Names) -> Iterator[Place]:
    config, pointer = item.step.config or {}, f"{item.pointer}/config"
    for place, value in matching(config, pointer, handler.conditions):
        yield _place(place, value, "rule", names)
    for place, value in matching(config, pointer, (*handler.templates, *handler.answers)):
        yield _place(place, value, "mapping", names)


def _place(pointer: str, value: Json, role: Role, names: Names) -> Place:
    typed = mappings.mapping if role in ("mapping", "list") else mappings.condition
    return Place(pointer, value, role, typed(value, pointer, names))

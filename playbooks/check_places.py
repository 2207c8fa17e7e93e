"""Every place of a document that holds expressions, with what is known of the names there.

Owns the list of places. Must not judge what stands in them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from playbooks import mapping_types
from playbooks.cel_types import Names
from playbooks.compile_order import Order, Placed
from playbooks.compile_references import matching
from playbooks.document import PlaybookDocument
from playbooks.handlers import HandlerDescription
from playbooks.mapping_types import Typed
from playbooks.step_types import StepTypes
from playbooks.values import Json

Role: TypeAlias = Literal["condition", "rule", "mapping"]
"""`condition`: decides whether a step runs; `rule`: true or false within a handler; `mapping`: makes a value."""

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
        yield from _of_step(order, item, names)
        handler = handlers.get(item.key)
        if handler is not None:
            yield from _of_config(item, handler, types.config_names(item.key))
    concurrency = document.policies.concurrency if document.policies else None
    if concurrency is not None:
        yield _place("/policies/concurrency/key", concurrency.key, "mapping", {"input": types.run_input})
    if document.output is not None:
        yield _place("/output", document.output, "mapping", names)


def _of_step(order: Order, item: Placed, names: Names) -> Iterator[Place]:
    step = item.step
    if step.condition is not None:
        yield _place(f"{item.pointer}/condition", step.condition, "condition", names)
    for edge in order.edges.get(item.key, ()):
        if edge.document.condition is not None and edge.document.dependency_type == "conditional":
            yield _place(f"{edge.pointer}/condition", edge.document.condition, "condition", names)
        if edge.document.mapping is not None:
            yield _place(f"{edge.pointer}/mapping", edge.document.mapping, "mapping", names)
    if step.input is not None:
        yield _place(f"{item.pointer}/input", step.input, "mapping", names)


def _of_config(item: Placed, handler: HandlerDescription, names: Names) -> Iterator[Place]:
    config, pointer = item.step.config or {}, f"{item.pointer}/config"
    for place, value in matching(config, pointer, handler.conditions):
        yield _place(place, value, "rule", names)
    for place, value in matching(config, pointer, (*handler.templates, *handler.answers)):
        yield _place(place, value, "mapping", names)


def _place(pointer: str, value: Json, role: Role, names: Names) -> Place:
    typed = mapping_types.mapping if role == "mapping" else mapping_types.condition
    return Place(pointer, value, role, typed(value, pointer, names))

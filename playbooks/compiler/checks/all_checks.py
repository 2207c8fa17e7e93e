"""The checks of a document beyond its shape, order and references.

Owns their list. Must not know what each of them looks at. Invariant: an error is told only of what can never work;
what merely may go wrong is a warning; what nothing is known of is neither.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from playbooks.common.errors import Problem
from playbooks.compiler.checks import (
    budget,
    constant_conditions,
    duration,
    expression_places,
    fixed_outputs,
    irreversible,
    mappings,
)
from playbooks.compiler.checks import types as type_checks
from playbooks.compiler.checks.expression_places import Handlers
from playbooks.compiler.checks.step_types import StepTypes
from playbooks.compiler.order import Order
from playbooks.document.model import PlaybookDocument


def problems(
    document: PlaybookDocument,
    order: Order,
    handlers: Handlers,
    told: Iterable[Problem],
) -> list[Problem]:
    """What these checks find and nobody has told yet.

    `handlers` by step key; `told` are the problems found so far: a place is not blamed twice for the same thing.
    """
    known = {(problem.pointer, problem.code) for problem in told}
    found = _expressions(document, order, handlers, frozenset(pointer for pointer, _ in known))
    rest = _steps(document, order, handlers)
    return [each for each in (*found, *rest) if (each.pointer, each.code) not in known]


def _expressions(
    document: PlaybookDocument, order: Order, handlers: Handlers, blamed: frozenset[str]
) -> Iterator[Problem]:
    types = StepTypes(document, order)
    for place in expression_places.places(document, order, handlers, types):
        yield from type_checks.problems(place)
        yield from constant_conditions.problems(place)
    for item in order.placed:
        if not _is_within(f"{item.pointer}/input_contract", blamed):
            yield from mappings.input_problems(document, order, item, types)
        if not _is_within(f"{item.pointer}/output_contract", blamed):
            yield from mappings.output_problems(item, types)
            yield from fixed_outputs.problems(item)
    if not _is_within("/output_contract", blamed):
        yield from mappings.run_output_problems(document, types)


def _is_within(place: str, blamed: frozenset[str]) -> bool:
    """Whether something in a contract is wrong: then nothing can be compared with it."""
    return any(pointer == place or pointer.startswith(f"{place}/") for pointer in blamed)


def _steps(document: PlaybookDocument, order: Order, handlers: Handlers) -> Iterator[Problem]:
    for item in order.placed:
        yield from duration.problems(document, item, handlers.get(item.key))
    yield from budget.problems(document, order)
    yield from irreversible.problems(order)

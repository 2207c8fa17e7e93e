"""All checks of a document beyond its shape, order and references.

Invariant: an error is reported only of what can never work; what may go wrong is a warning; where types are not known
there is neither.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from playbooks.common.errors import Problem
from playbooks.compiler.checks import (
    budget,
    constant_conditions,
    duration,
    expression_sites,
    fixed_outputs,
    irreversible,
    mappings,
)
from playbooks.compiler.checks import types as type_checks
from playbooks.compiler.checks.expression_sites import Handlers
from playbooks.compiler.checks.step_types import StepTypes
from playbooks.compiler.order import StepOrder
from playbooks.document.model import PlaybookDocument


def problems(
    document: PlaybookDocument,
    order: StepOrder,
    handlers: Handlers,
    reported: Iterable[Problem],
) -> list[Problem]:
    """Return what these checks find beside the problems reported so far; `handlers` by step key."""
    before = {(problem.pointer, problem.code) for problem in reported}
    found = _expressions(document, order, handlers, frozenset(pointer for pointer, _ in before))
    rest = _steps(document, order, handlers)
    return [each for each in (*found, *rest) if (each.pointer, each.code) not in before]


def _expressions(
    document: PlaybookDocument, order: StepOrder, handlers: Handlers, invalid: frozenset[str]
) -> Iterator[Problem]:
    types = StepTypes(document, order)
    for site in expression_sites.sites(document, order, handlers, types):
        yield from type_checks.problems(site)
        yield from constant_conditions.problems(site)
    for item in order.located:
        if not _has_problem(f"{item.pointer}/input_contract", invalid):
            yield from mappings.input_problems(document, order, item, types)
        if not _has_problem(f"{item.pointer}/output_contract", invalid):
            yield from mappings.output_problems(item, types)
            yield from fixed_outputs.problems(item)
    if not _has_problem("/output_contract", invalid):
        yield from mappings.run_output_problems(document, types)


def _has_problem(place: str, invalid: frozenset[str]) -> bool:
    """Return True where something in a contract is invalid, so that nothing can be compared with it."""
    return any(pointer == place or pointer.startswith(f"{place}/") for pointer in invalid)


def _steps(document: PlaybookDocument, order: StepOrder, handlers: Handlers) -> Iterator[Problem]:
    for item in order.located:
        yield from duration.problems(document, item, handlers.get(item.key))
    yield from budget.problems(document, order)
    yield from irreversible.problems(order)

"""The minimum cost of a run, by the prices of the steps that every run does, against its budget.

It only warns: a handler may measure another cost than its step's price, and a person may skip a step.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from playbooks.common.errors import Problem, warning
from playbooks.compiler.order import LocatedStep, StepOrder
from playbooks.document.model import PlaybookDocument

_CONSEQUENCES = {
    "pause": "every such run pauses",
    "fail": "every such run fails",
    "warn": "every such run goes over it",
}


def estimate(order: StepOrder) -> Decimal:
    """Return the sum of the prices of the steps that no condition, dependency or join can prevent."""
    return sum((_price(item) for item in order.located if _always_runs(order, item)), Decimal(0))


def problems(document: PlaybookDocument, order: StepOrder) -> Iterator[Problem]:
    """Yield a warning for a budget that is smaller than the estimate."""
    budget = document.policies.budget if document.policies else None
    if budget is None:
        return
    cost = estimate(order)
    if cost > Decimal(str(budget.max_cost)):
        message = f"the steps that always run cost {cost} {budget.currency}: {_CONSEQUENCES[budget.on_exceed]}"
        yield warning("/policies/budget/max_cost", "BUDGET_TOO_SMALL", message, f"at least {cost}")


def _price(item: LocatedStep) -> Decimal:
    return Decimal(str(item.step.cost.unit_amount)) if item.step.cost is not None else Decimal(0)


def _always_runs(order: StepOrder, item: LocatedStep) -> bool:
    step = item.step
    if step.condition is not None or step.for_each is not None or step.critical is False or step.on_error is not None:
        return False
    if any(dependency.kind != "sequential" for dependency in order.dependencies[item.key]):
        return False
    return not any(item.key in order.upstream[other.key] for other in order.located if other.step.join is not None)

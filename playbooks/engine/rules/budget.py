"""Budget of a run: checked before a step starts, counted when one completes."""

from __future__ import annotations

from decimal import Decimal

from playbooks.engine.model.plan import BudgetPlan, Plan, PlanStep
from playbooks.engine.model.state import RunState

_IN_FLIGHT = frozenset({"in_progress", "waiting"})


def exceeded_budget(plan: Plan, state: RunState, step: PlanStep) -> BudgetPlan | None:
    """Return the budget that starting `step` would exceed, or None. In-flight steps count with their price."""
    budget = plan.budget
    if budget is None or step.key in state.waived_steps or step.cost == 0:
        return None
    in_flight = sum(
        (
            plan.step(key).cost
            for key, other in state.steps.items()
            if key != step.key and other.status in _IN_FLIGHT and key not in state.loops
        ),
        Decimal(0),
    )
    return budget if state.cost + in_flight + step.cost > budget.max_cost else None

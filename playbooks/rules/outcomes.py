"""How a step ends: completed, failed or skipped. Each is final for its visit."""

from __future__ import annotations

from playbooks.plan import PlanStep
from playbooks.rules import endings
from playbooks.rules.draft import Draft
from playbooks.state import StepState
from playbooks.values import JsonObject, StepError


def complete(draft: Draft, step: PlanStep, current: StepState) -> None:
    """End a step well; its price counts once per completed visit."""
    price = step.cost if current.measured_cost is None else current.measured_cost
    draft.put(current, status="completed", completed_at=draft.at, cost=price, error=None)
    draft.change(cost=draft.state.cost + price)
    draft.record("step_completed", step=step.key, data={"cost": str(price), "attempts": len(current.attempts)})


def fail(draft: Draft, step: PlanStep, current: StepState, error: StepError) -> None:
    """End a step badly; the run fails with it unless the step is not critical."""
    draft.put(current, status="failed", completed_at=draft.at, error=error, reason=error.message)
    draft.record("step_failed", step=step.key, data={**error_data(error)})
    if step.critical:
        endings.fail_run(draft, error, step.key)


def skip(draft: Draft, current: StepState, reason: str, values: JsonObject | None = None) -> None:
    """End a step that does not apply; it costs nothing."""
    draft.put(
        current,
        status="skipped",
        started_at=None,
        completed_at=draft.at,
        attempts=(),
        reason=reason,
        values=values or {},
    )
    draft.record("step_skipped", step=current.key, data={"reason": reason, "values": values or {}})


def error_data(error: StepError) -> dict[str, str]:
    """An error as the audit trail shows it."""
    return {"kind": error.kind, "code": error.code, "message": error.message}

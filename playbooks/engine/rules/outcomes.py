"""Ends of a step: completed, failed or skipped. Each is final for its visit."""

from __future__ import annotations

from decimal import Decimal

from playbooks.common.values import JsonObject, StepError
from playbooks.engine.model.plan import PlanStep
from playbooks.engine.model.state import StepState, Undo
from playbooks.engine.rules import endings, ordering, visits
from playbooks.engine.rules.draft import Draft


def price_of(step: PlanStep, current: StepState) -> Decimal:
    """Return the cost of a completed visit: what its worker measured, else its price. Items pay for a loop."""
    if step.for_each is not None:
        return Decimal(0)
    return step.cost if current.measured_cost is None else current.measured_cost


def complete(draft: Draft, step: PlanStep, current: StepState, *, may_repeat: bool = True) -> None:
    """Complete a step, unless its `repeat` has to be evaluated first. Its price counts once per completed visit."""
    if may_repeat and visits.evaluate_repeat(draft, step, current):
        return
    price = price_of(step, current)
    done = draft.update_step(
        current,
        status="completed",
        completed_at=draft.at,
        cost=price,
        error=None,
        is_evaluating_repeat=False,
        incident_at=None,
    )
    draft.set_visible(cost=draft.state.cost + price)
    # Of a `for_each` step each item is undone by itself.
    if step.for_each is None and draft.plan.compensation(current.key) is not None:
        undo = Undo(step=done.key, visit=done.visit, output=done.output, index=done.index)
        draft.set_internal(undo=(*draft.state.undo, undo))
    draft.record("step_completed", step=current.key, data={"cost": str(price), "attempts": len(current.attempts)})


def fail(draft: Draft, step: PlanStep, current: StepState, error: StepError) -> None:
    """Fail a step. By its `on_error` the run fails, continues, jumps, or waits for an intervention."""
    action = step.on_error or ("fail" if step.critical else "continue")
    # A loop has no attempt of its own to retry: each item becomes an incident.
    if action == "incident" and current.incident_at is None and step.for_each is None:
        _open_incident(draft, current, error)
        return
    draft.update_step(
        current,
        status="failed",
        completed_at=draft.at,
        error=error,
        reason=error.message,
        is_evaluating_repeat=False,
        incident_at=None,
    )
    draft.record("step_failed", step=current.key, data={**error_data(error)})
    match action:
        case "fail" | "incident":
            endings.fail_run(draft, error, current.key)
        case "compensate":
            endings.fail_run(draft, error, current.key, undoes=True)
        case "goto":
            _go_to(draft, step, error)
        case "continue":
            pass


def _open_incident(draft: Draft, current: StepState, error: StepError) -> None:
    """Keep the run alive; the step waits for an intervention."""
    draft.update_step(
        current, status="waiting", error=error, reason=error.message, is_evaluating_repeat=False, incident_at=draft.at
    )
    draft.record("incident_opened", step=current.key, data={**error_data(error)})


def _go_to(draft: Draft, step: PlanStep, error: StepError) -> None:
    goto = step.goto
    if goto is None:
        return
    if step.key not in ordering.downstream(draft.plan, goto.step):
        visits.jump(draft, step.key, goto.step)
    elif visits.may_go_back(draft, goto):
        visits.go_back(draft, step.key, goto)
    else:
        endings.fail_run(draft, error, step.key)


def skip(draft: Draft, current: StepState, reason: str, values: JsonObject | None = None) -> None:
    """Skip a step that does not apply; it costs nothing."""
    draft.update_step(
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
    """Return an error as the audit trail shows it."""
    return {"kind": error.kind, "code": error.code, "message": error.message}

"""Who has to act before a waiting run can continue, read from its state."""

from __future__ import annotations

from collections.abc import Iterator

from playbooks.engine.model.plan import Plan
from playbooks.engine.model.state import RunState
from playbooks.simulation.outcome import Waiting


def waiting_for(plan: Plan, state: RunState) -> tuple[Waiting, ...]:
    """Return what the run waits for, in the order of its steps; a pause comes first."""
    return tuple(_waiting(plan, state))


def _waiting(plan: Plan, state: RunState) -> Iterator[Waiting]:
    if state.pause is not None:
        yield Waiting(kind="resume", reason=state.pause.reason or "the run is paused")
    for key, now in state.steps.items():
        step, task = plan.step(key), now.task
        if now.status != "waiting":
            continue
        if now.incident_at is not None:
            reason = f"step '{step.name}' failed: it has to be retried, skipped or completed"
            yield Waiting(kind="step", step=key, reason=reason)
            continue
        if step.signal is not None:
            reason = f"step '{step.name}' waits for the signal {' or '.join(step.signal.names)}"
            yield Waiting(kind="step", step=key, reason=reason)
            continue
        if task is None or task.closed_at is not None:
            yield Waiting(kind="step", step=key, reason=f"step '{step.name}' waits for something that does not come")
            continue
        approvals = sum(vote.choice == "approve" for vote in task.votes)
        yield Waiting(
            kind="decision",
            step=key,
            reason=f"step '{step.name}' needs the decision of {_whom(task.roles)}",
            roles=task.roles,
            approvals_required=step.decision_rules.threshold,
            approvals_received=approvals,
            due_at=task.due_at,
        )


def _whom(roles: tuple[str, ...]) -> str:
    return f"somebody with the role {' or '.join(roles)}" if roles else "a person, but names no role: nobody may decide"

"""From state to what a flush carries: the run, each step that changed since the last one, the new events."""

from __future__ import annotations

from playbooks.digest import digest_of_lines
from playbooks.messages import FlushCall, RunProjection
from playbooks.plan import Plan
from playbooks.progress import current_step
from playbooks.state import RunState
from playbooks.values import FINISHED_RUN


def flush_of(plan: Plan, state: RunState, *, flushed_seq: int, temporal_run_id: str) -> FlushCall:
    """Everything that changed after `flushed_seq`. `events` is the whole outbox: empty it once the call is made."""
    return FlushCall(
        organization_id=state.organization_id,
        execution_id=state.execution_id,
        playbook_id=plan.playbook_id,
        temporal_run_id=temporal_run_id,
        seq=state.seq,
        run=project_run(plan, state),
        steps=tuple(step for _, step in sorted(state.steps.items()) if step.seq > flushed_seq),
        events=state.outbox,
    )


def project_run(plan: Plan, state: RunState) -> RunProjection:
    """The run's own columns."""
    return RunProjection(
        status=state.status,
        priority=state.priority,
        cost=state.cost,
        total_steps=len(plan.steps),
        started_at=state.started_at,
        completed_at=state.completed_at,
        current_step=current_step(plan, state),
        output=state.output,
        error=state.error,
        pause=state.pause,
        variables=state.variables,
        cancel_reason=state.cancel_reason,
        digest=digest_of_lines(state) if state.status in FINISHED_RUN else None,
    )

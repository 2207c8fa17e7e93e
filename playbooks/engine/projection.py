"""Flushes of a state: the run, each step that changed since the last one, the new events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from playbooks.common.values import FINISHED_RUN
from playbooks.engine.digest import digest_of_lines
from playbooks.engine.model.plan import Plan
from playbooks.engine.model.state import RunState
from playbooks.engine.model.temporal_messages import FlushCall, RunProjection
from playbooks.engine.progress import current_step

FLUSH_INTERVAL = timedelta(milliseconds=500)
"""Rows of a run are written at most this often: a burst of fast steps needs one flush."""


def flush_of(plan: Plan, state: RunState, *, flushed_seq: int, temporal_run_id: str) -> FlushCall:
    """Return everything that changed after `flushed_seq`, finished visits before what came after them.

    `events` is the whole outbox, and `steps` begins with all of `past`: empty both once the call is made.
    """
    return FlushCall(
        organization_id=state.organization_id,
        execution_id=state.execution_id,
        playbook_id=plan.playbook_id,
        temporal_run_id=temporal_run_id,
        seq=state.seq,
        run=project_run(plan, state),
        steps=(*state.past, *(step for _, step in sorted(state.steps.items()) if step.seq > flushed_seq)),
        events=state.outbox,
        after_seq=flushed_seq,
    )


def fold(flushes: Sequence[FlushCall]) -> FlushCall:
    """Fold the flushes of one run, in order, into one: the last state of the run and of each step.

    Raises ValueError where there is none.
    """
    if not flushes:
        raise ValueError("there is nothing to fold")
    steps = {(step.key, step.visit): step for flush in flushes for step in flush.steps}
    events = tuple(event for flush in flushes for event in flush.events)
    return replace(flushes[-1], steps=tuple(steps[name] for name in sorted(steps)), events=events, after_seq=None)


def project_run(plan: Plan, state: RunState) -> RunProjection:
    """Return the run's own columns."""
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
        open_incidents=sum(step.incident_at is not None for step in state.steps.values()),
        digest=digest_of_lines(state) if state.status in FINISHED_RUN else None,
        waiting_for="concurrency" if waits_for_concurrency(state) else None,
        children=tuple(awaited_children(state)),
    )


def waits_for_concurrency(state: RunState) -> bool:
    """Return whether the run waits for its concurrency limit."""
    return state.concurrency in ("waiting", "acquiring_again") and state.status not in FINISHED_RUN


def awaited_children(state: RunState) -> Iterator[UUID]:
    """Yield the runs whose end a step waits for."""
    for _, step in sorted(state.steps.items()):
        if step.child is not None and step.status == "waiting" and step.incident_at is None:
            yield step.child

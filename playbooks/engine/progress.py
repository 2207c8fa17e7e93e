"""Markdown that the Temporal Web UI shows as the current details of a run."""

from __future__ import annotations

from playbooks.common.values import FINISHED_STEP
from playbooks.engine.model.plan import Plan
from playbooks.engine.model.state import RunState, StepState

_MARKS = {"completed": "x", "skipped": "-", "failed": "!", "cancelled": "!", "in_progress": ">", "waiting": ">"}


def current_step(plan: Plan, state: RunState) -> str | None:
    """Return the key of the first step that is in progress or waits, or None."""
    for step in plan.steps:
        if state.steps[step.key].status in ("in_progress", "waiting"):
            return step.key
    return None


def progress_of(plan: Plan, state: RunState) -> str:
    """Return status, share of finished steps, and a line for each step with what it waits for."""
    finished = sum(step.status in FINISHED_STEP for step in state.steps.values())
    lines = [f"**{plan.name}** (version {plan.version}): {state.status}, {finished} of {len(plan.steps)} steps"]
    if state.pause is not None and state.pause.reason:
        lines.append(f"paused: {state.pause.reason}")
    if state.concurrency in ("waiting", "acquiring_again"):
        lines.append("waits for the concurrency limit of its key")
    lines.append("")
    for step in plan.steps:
        now = state.steps[step.key]
        lines.append(f"- [{_MARKS.get(now.status, ' ')}] {step.number}. {step.name}: {now.status}{_aside(now)}")
    return "\n".join(lines)


def _aside(step: StepState) -> str:
    task = step.task
    if task is not None and task.closed_at is None:
        approvals = sum(vote.choice == "approve" for vote in task.votes)
        return f", {approvals} approvals so far, open for {', '.join(task.roles)}"
    if step.status == "waiting" and step.child is not None:
        return f", for run {step.child}"
    if step.status == "skipped" and step.reason:
        return f" ({step.reason})"
    return f", attempt {len(step.attempts)}" if len(step.attempts) > 1 else ""

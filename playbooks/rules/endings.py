"""How a run ends. A finished run absorbs everything: its status, output and cost never change again."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from playbooks.commands import CancelStep, FinishRun, MakeOutput, Notify
from playbooks.rules.draft import Draft
from playbooks.state import Attempt, TaskState
from playbooks.values import FINISHED_STEP, Actor, JsonObject, StepError


def complete_run_if_done(draft: Draft) -> None:
    """Ask for the run's output once every step is finished."""
    state = draft.state
    if state.is_making_output or any(step.status not in FINISHED_STEP for step in state.steps.values()):
        return
    draft.note(is_making_output=True)
    draft.command(MakeOutput())


def fail_run(draft: Draft, error: StepError, step: str | None = None) -> None:
    """End the run as failed; what is in flight is cancelled, what is pending never begins."""
    data: JsonObject = {"kind": error.kind, "code": error.code, "message": error.message}
    _end(draft, "failed", f"the run failed: {error.code}", step=step, data=data, error=error)


def cancel_run(draft: Draft, actor: Actor | None, reason: str | None) -> None:
    """End the run as cancelled."""
    draft.change(cancel_reason=reason)
    _end(draft, "cancelled", "the run was cancelled", actor=actor, data={"reason": reason})


def complete_run(draft: Draft) -> None:
    """End the run as completed."""
    _end(draft, "completed", "the run is complete", data={"cost": str(draft.state.cost)})


def _end(
    draft: Draft,
    status: Literal["completed", "failed", "cancelled"],
    why: str,
    *,
    actor: Actor | None = None,
    step: str | None = None,
    data: JsonObject,
    error: StepError | None = None,
) -> None:
    for open_step in [item for item in draft.state.steps.values() if item.status not in FINISHED_STEP]:
        if open_step.status != "pending":
            draft.command(CancelStep(step=open_step.key, visit=open_step.visit))
        task = open_step.task
        attempts = open_step.attempts
        draft.put(
            open_step,
            status="cancelled",
            reason=why,
            completed_at=draft.at,
            attempts=tuple(_closed(attempt, draft) for attempt in attempts),
            task=None if task is None else _closed_task(task, draft),
        )
    draft.stop_timers()
    draft.change(status=status, completed_at=draft.at, error=error, pause=None, kept=())
    draft.record(f"run_{status}", actor=actor, step=step, data=data)
    if draft.state.notifies_on_completion:
        draft.command(Notify(kind="run_finished", key=f"run_finished:{draft.state.execution_id}"))
    draft.command(FinishRun())


def _closed(attempt: Attempt, draft: Draft) -> Attempt:
    return attempt if attempt.ended_at else replace(attempt, ended_at=draft.at)


def _closed_task(task: TaskState, draft: Draft) -> TaskState:
    return task if task.closed_at else replace(task, closed_at=draft.at)

"""Endings of a run. Invariant: status, output and cost of a finished run never change."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from playbooks.common.values import FINISHED_STEP, Actor, JsonObject, StepError
from playbooks.engine.model.audit import AuditKind
from playbooks.engine.model.commands import FinishRun, MakeOutput, Notify
from playbooks.engine.model.state import Ending
from playbooks.engine.rules.draft import Draft
from playbooks.engine.rules.visits import end_from_outside

FinalStatus: TypeAlias = Literal["completed", "failed", "cancelled"]
_KINDS: Final[dict[FinalStatus, AuditKind]] = {
    "completed": "run_completed",
    "failed": "run_failed",
    "cancelled": "run_cancelled",
}


def complete_run_if_done(draft: Draft) -> None:
    """Ask for the run's output once every step is finished, and every item that goes on without its loop."""
    state = draft.state
    if state.is_making_output or state.loops or any(step.status not in FINISHED_STEP for step in state.steps.values()):
        return
    draft.set_internal(is_making_output=True)
    draft.command(MakeOutput())


def fail_run(draft: Draft, error: StepError, step: str | None = None, *, undoes: bool = False) -> None:
    """End the run as failed; steps in flight are cancelled.

    `undoes`: completed steps are undone first, where they can be.
    """
    data: JsonObject = {"kind": error.kind, "code": error.code, "message": error.message}
    ending = Ending(status="failed", reason=f"the run failed: {error.code}", data=data, step=step, error=error)
    _close_steps(draft, ending.reason)
    _undo_or_end(draft, ending, undoes=undoes)


def cancel_run(draft: Draft, actor: Actor | None, reason: str | None) -> None:
    """End the run as cancelled, once its completed steps are undone."""
    if draft.state.ending is not None:
        return
    draft.set_visible(cancel_reason=reason)
    ending = Ending(status="cancelled", reason="the run was cancelled", data={"reason": reason}, actor=actor)
    _close_steps(draft, ending.reason)
    _undo_or_end(draft, ending, undoes=True)


def _undo_or_end(draft: Draft, ending: Ending, *, undoes: bool) -> None:
    if not undoes or not draft.state.undo:
        end_now(draft, ending)
        return
    draft.set_visible(status="in_progress", pause=None, ending=ending, error=ending.error)
    draft.record("compensation_started", actor=ending.actor, step=ending.step, data=ending.data)


def complete_run(draft: Draft) -> None:
    """End the run as completed."""
    _finish(draft, "completed", data={"cost": str(draft.state.cost)})


def end_now(draft: Draft, ending: Ending) -> None:
    """End the run as decided."""
    _close_steps(draft, ending.reason)
    _finish(draft, ending.status, actor=ending.actor, step=ending.step, data=ending.data, error=ending.error)


def _close_steps(draft: Draft, why: str) -> None:
    for key in [step.key for step in draft.state.steps.values() if step.status not in FINISHED_STEP]:
        end_from_outside(draft, draft.step(key), why)  # an item has ended with its loop by then
    draft.stop_all_timers()
    draft.set_internal(loops={})


def _finish(
    draft: Draft,
    status: FinalStatus,
    *,
    actor: Actor | None = None,
    step: str | None = None,
    data: JsonObject,
    error: StepError | None = None,
) -> None:
    draft.stop_all_timers()
    draft.set_visible(status=status, completed_at=draft.at, error=error, pause=None, ending=None)
    draft.set_internal(kept=())
    draft.record(_KINDS[status], actor=actor, step=step, data=data)
    if draft.state.notifies_on_completion:
        draft.command(Notify(kind="run_finished", key=f"run_finished:{draft.state.execution_id}"))
    draft.command(FinishRun())

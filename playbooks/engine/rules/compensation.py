"""Compensation: completed visits are undone in reverse order, then the run ends as decided.

One after the other, each with its own retries. A compensation that fails is recorded, and the rest continues. Nothing
else begins meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable

from playbooks.common.values import FINISHED_STEP
from playbooks.engine.model.plan import PlanStep
from playbooks.engine.model.state import StepState, Undo
from playbooks.engine.model.step_ref import StepRef
from playbooks.engine.rules import endings
from playbooks.engine.rules.draft import Draft


def proceed(draft: Draft, begin: Callable[[Draft, PlanStep], None]) -> None:
    """Undo the next completed visit; end the run when nothing is left."""
    while draft.state.ending is not None and not draft.holds:
        if not draft.state.undo:
            endings.end_now(draft, draft.state.ending)
            return
        last = draft.state.undo[-1]
        current = draft.state.steps.get(str(StepRef.parse(last.step).undo))
        if current is None or current.visit != last.visit:
            _begin(draft, last, current, begin)
            return
        if current.status not in FINISHED_STEP:
            return
        if current.status == "failed":
            draft.record("compensation_failed", step=last.step, data={"visit": last.visit})
        draft.set_internal(undo=draft.state.undo[:-1])


def _begin(draft: Draft, undo: Undo, earlier: StepState | None, begin: Callable[[Draft, PlanStep], None]) -> None:
    if earlier is not None:
        draft.archive_visit(earlier)
    key = str(StepRef.parse(undo.step).undo)
    draft.update_step(StepState(key=key, visit=undo.visit, line=draft.further_line(), index=undo.index))
    begin(draft, draft.plan.step(key))

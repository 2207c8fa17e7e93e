"""`for_each`: one execution an item, a bounded number at once.

An item is a step of its own (`key[3]`) until it ends; then it is tallied and leaves the state, so that a run over
thousands of items stays small. Invariant: an item begins once, and its outcome counts once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from playbooks.common.values import FINISHED_STEP, StepError
from playbooks.engine.model.commands import CollectItems, EvaluateLoop
from playbooks.engine.model.plan import ForEachPlan, PlanStep
from playbooks.engine.model.state import FIRST_FURTHER_LINE, MAX_FURTHER_LINES, LoopState, StepState
from playbooks.engine.model.step_ref import StepRef
from playbooks.engine.model.temporal_messages import LoopOutcome, StepOutcome
from playbooks.engine.rules import endings
from playbooks.engine.rules.draft import Draft
from playbooks.engine.rules.outcomes import complete, fail
from playbooks.engine.rules.visits import drop_loop


def open_loop(draft: Draft, step: PlanStep, outcome: StepOutcome) -> None:
    """Open the loop over a list that was evaluated."""
    count = outcome.item_count or 0
    loop = LoopState(items=outcome.items, count=count)
    draft.set_internal(loops={**draft.state.loops, step.key: loop})
    draft.record("loop_opened", step=step.key, data={"items": count})


def settle(draft: Draft, begin: Callable[[Draft, PlanStep], None]) -> None:
    """Tally the items that ended, end the loops that are complete, begin the next items."""
    for key in list(draft.state.loops):
        step = draft.plan.step(key)
        if step.for_each is not None and key in draft.state.loops:
            _tally_finished_items(draft, step)
            _evaluate_completion(draft, step, step.for_each)
            _begin_items(draft, step, step.for_each, begin)
        if draft.is_finished or draft.holds or draft.state.ending is not None:
            return


def _tally_finished_items(draft: Draft, step: PlanStep) -> None:
    loop = draft.state.loops[step.key]
    for item in draft.items_of(step.key):
        if item.status not in FINISHED_STEP or item.index is None:
            continue
        match item.status:
            case "completed":
                results = {**loop.results, str(item.index): item.output}
                loop = replace(loop, completed=loop.completed + 1, results=results)
            case "skipped":
                loop = replace(loop, skipped=loop.skipped + 1)
            case _:
                loop = replace(loop, failed=loop.failed + 1)
        draft.archive_visit(item)
    _put(draft, step.key, loop)


def _evaluate_completion(draft: Draft, step: PlanStep, rules: ForEachPlan) -> None:
    """Complete the loop, fail it, or have its condition evaluated."""
    loop = draft.state.loops[step.key]
    if loop.is_collecting:
        _drop_if_over(draft, step.key)
    elif loop.failed > rules.tolerated_failures:
        message = f"{loop.failed} items of step '{step.name}' failed, of {rules.tolerated_failures} tolerated"
        _fail(draft, step, StepError(kind="business_rule", code="ITEMS_FAILED", message=message))
    elif loop.ended == loop.count or (rules.enough is not None and loop.completed >= rules.enough):
        _collect_results(draft, step, rules)
    elif rules.has_condition and loop.ended > loop.evaluated and not loop.is_evaluating:
        _put(draft, step.key, replace(loop, is_evaluating=True, evaluated=loop.ended))
        draft.command(EvaluateLoop(step=step.key, visit=draft.step(step.key).visit))


def _collect_results(draft: Draft, step: PlanStep, rules: ForEachPlan) -> None:
    """Have the step's output made. The other items are cancelled, or continue without being awaited."""
    loop = draft.state.loops[step.key]
    if rules.cancels_others:
        drop_loop(draft, step.key, f"step '{step.name}' has enough completed items")
        loop = replace(loop, begun=loop.count)
    _put(draft, step.key, replace(loop, is_collecting=True))
    draft.command(CollectItems(step=step.key, visit=draft.step(step.key).visit))


def _fail(draft: Draft, step: PlanStep, error: StepError) -> None:
    drop_loop(draft, step.key, error.message)
    fail(draft, step, draft.step(step.key), error)


def on_evaluated(draft: Draft, step: PlanStep, outcome: LoopOutcome) -> None:
    """Handle the evaluated `complete_when`."""
    loop = draft.state.loops.get(step.key)
    if loop is None or step.for_each is None or not loop.is_evaluating:
        return
    _put(draft, step.key, replace(loop, is_evaluating=False))
    if loop.is_collecting:
        return
    if outcome.error is not None:
        _fail(draft, step, outcome.error)
    elif outcome.holds:
        _collect_results(draft, step, step.for_each)


def on_collected(draft: Draft, step: PlanStep, outcome: StepOutcome) -> None:
    """Complete the step with the loop's output."""
    loop = draft.state.loops.get(step.key)
    if loop is None or not loop.is_collecting or loop.is_collected:
        return
    if outcome.status != "succeeded":
        missing = StepError(kind="system", code="INTERNAL_ERROR", message="the items' outputs could not be collected")
        _fail(draft, step, outcome.error or missing)
        return
    _put(draft, step.key, replace(loop, is_collected=True))
    complete(draft, step, draft.update_step(draft.step(step.key), output=outcome.output))
    _drop_if_over(draft, step.key)


def _drop_if_over(draft: Draft, key: str) -> None:
    loop = draft.state.loops.get(key)
    if loop is not None and loop.is_collected and loop.begun >= loop.count and not draft.items_of(key):
        drop_loop(draft, key, "the loop is over")


def _begin_items(draft: Draft, step: PlanStep, rules: ForEachPlan, begin: Callable[[Draft, PlanStep], None]) -> None:
    while not (draft.is_finished or draft.holds or draft.state.ending is not None):
        key = _next_item(draft, step, rules)
        if key is None:
            return
        begin(draft, draft.plan.step(key))


def _next_item(draft: Draft, step: PlanStep, rules: ForEachPlan) -> str | None:
    """Return the key of an item that may begin: one that the budget held back, else the next of the list."""
    live = draft.items_of(step.key)
    held = next((item.key for item in live if item.status == "pending"), None)
    loop = draft.state.loops.get(step.key)
    if held is not None or loop is None or loop.begun >= loop.count or len(live) >= rules.max_concurrency:
        return held
    if draft.state.next_line >= FIRST_FURTHER_LINE + MAX_FURTHER_LINES:
        message = f"a run has at most {MAX_FURTHER_LINES} further visits and items"
        endings.fail_run(draft, StepError(kind="system", code="RESOURCE_LIMIT_EXCEEDED", message=message), step.key)
        return None
    index = loop.begun
    value = loop.items[index] if isinstance(loop.items, list) else None
    _put(draft, step.key, replace(loop, begun=index + 1))
    key, visit = str(StepRef(step.key, index)), draft.step(step.key).visit
    draft.update_step(StepState(key=key, visit=visit, line=draft.further_line(), item=value, index=index))
    return key


def _put(draft: Draft, key: str, loop: LoopState) -> None:
    draft.set_internal(loops={**draft.state.loops, key: loop})

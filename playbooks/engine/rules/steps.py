"""Steps: begin, prepare, attempt, retry. Tasks of people have their own module.

Invariants: no step begins twice in one visit, only the running attempt's outcome counts, and a paused or finished run
begins nothing.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from playbooks.common.values import StepError
from playbooks.engine.model.commands import PrepareStep, RunStep
from playbooks.engine.model.plan import PlanStep
from playbooks.engine.model.state import Attempt, PauseState, StepState
from playbooks.engine.model.temporal_messages import StepOutcome
from playbooks.engine.model.timers import StepTimer
from playbooks.engine.model.wait_outputs import timer_output
from playbooks.engine.rules import children, compensation, endings, loops, signals, tasks
from playbooks.engine.rules.budget import exceeded_budget
from playbooks.engine.rules.draft import Draft
from playbooks.engine.rules.ordering import Unreachable, readiness
from playbooks.engine.rules.outcomes import complete, error_data, fail, skip
from playbooks.engine.rules.redaction import safe_evaluation
from playbooks.engine.rules.retries import MAX_LOST, NOT_STARTED, delay_before_next, delay_before_redispatch, policy_of
from playbooks.engine.rules.visits import cancel_others

WAITING = ("task", "timer", "signal")
"""Carriers whose steps wait for something once they are prepared."""


def settle(draft: Draft) -> None:
    """Begin everything that may begin now; end the run when nothing is left."""
    if draft.state.ending is not None:
        compensation.proceed(draft, _begin)
        return
    progressed = True
    while progressed and _may_begin(draft):
        loops.settle(draft, _begin)
        progressed = False
        for step in draft.plan.steps:
            if not _may_begin(draft):
                break
            if draft.step(step.key).status == "pending":
                progressed = _settle_step(draft, step) or progressed
    if draft.state.ending is not None:
        compensation.proceed(draft, _begin)
    elif _may_begin(draft):
        endings.complete_run_if_done(draft)


def _may_begin(draft: Draft) -> bool:
    is_held = draft.holds or draft.state.concurrency is not None
    return not draft.is_finished and not is_held and draft.state.ending is None


def _settle_step(draft: Draft, step: PlanStep) -> bool:
    """Settle a pending step; return whether others may be ready by that."""
    match readiness(draft.plan, step, draft.state):
        case "blocked":
            return False
        case "ready":
            if step.join is not None and step.join.cancels_others:
                cancel_others(draft, step)
            _begin(draft, step)
            return step.join is not None
        case Unreachable(reason=reason):
            skip(draft, draft.step(step.key), reason)
            return True


def _begin(draft: Draft, step: PlanStep) -> None:
    """Start a pending step. One with a condition is prepared first where its price must be known to be due."""
    current = draft.step(step.key)
    needs_preparing = step.carrier in WAITING or step.for_each is not None
    needs_preparing = needs_preparing or (step.carrier in ("effect", "child") and step.has_condition)
    if not _is_checked_later(step) and not _may_spend(draft, step):
        return
    if step.has_condition and step.carrier == "pure" and exceeded_budget(draft.plan, draft.state, step) is not None:
        needs_preparing = True
    started = draft.update_step(current, status="in_progress", started_at=draft.at)
    if needs_preparing:
        draft.command(PrepareStep(step=step.key, visit=current.visit))
    else:
        _attempt(draft, step, started)


def _is_checked_later(step: PlanStep) -> bool:
    """Return whether the budget is checked later: after the condition, or item by item."""
    return step.has_condition or step.for_each is not None


def _may_spend(draft: Draft, step: PlanStep) -> bool:
    """Return whether the budget lets this step start; if not, pause or fail the run by its policy."""
    budget = exceeded_budget(draft.plan, draft.state, step)
    if budget is None:
        return True
    draft.record(
        "budget_exceeded",
        step=step.key,
        data={"max_cost": str(budget.max_cost), "spent": str(draft.state.cost), "needed": str(step.cost)},
    )
    match budget.on_exceed:
        case "warn":
            draft.set_internal(waived_steps=(*draft.state.waived_steps, step.key))
            return True
        case "pause":
            reason = f"step '{step.name}' would exceed the budget"
            pause = PauseState(since=draft.at, cause="budget", reason=reason, held_steps=(step.key,))
            draft.set_visible(status="paused", pause=pause)
            draft.record("run_paused", step=step.key, data={"reason": reason})
            return False
        case "fail":
            message = f"step '{step.name}' would exceed the budget of {budget.max_cost} {budget.currency}"
            error = StepError(kind="business_rule", code="RESOURCE_LIMIT_EXCEEDED", message=message)
            endings.fail_run(draft, error, step.key)
            return False


def _attempt(draft: Draft, step: PlanStep, current: StepState) -> None:
    number = len(current.attempts) + 1
    attempt = Attempt(number=number, started_at=draft.at)
    changed = draft.update_step(current, status="in_progress", attempts=(*current.attempts, attempt))
    draft.record("step_started", step=step.key, data={"attempt": number})
    draft.command(RunStep(step=step.key, visit=changed.visit, attempt=number))


def attempt_or_hold(draft: Draft, step: PlanStep) -> None:
    """Make the next attempt of a step that has begun, or hold it until the run resumes."""
    if draft.holds or draft.is_finished:
        return
    current = draft.step(step.key)
    if not current.attempts and step.has_condition and not _may_spend(draft, step):
        return
    if current.attempts and _was_lost(current):
        draft.command(RunStep(step=step.key, visit=current.visit, attempt=current.attempts[-1].number))
        return
    _attempt(draft, step, current)


def _was_lost(step: StepState) -> bool:
    return step.attempts[-1].ended_at is None


def resume_held(draft: Draft) -> None:
    """Make the attempts and open the tasks that were held."""
    for key in list(draft.state.steps):
        if draft.is_finished or draft.holds or key not in draft.state.steps:
            return
        step, current = draft.plan.step(key), draft.step(key)
        if current.status != "in_progress" or _is_delayed(draft, current):
            continue
        ended = bool(current.attempts) and current.attempts[-1].ended_at is not None
        held = current.ready and not current.attempts
        if key in draft.state.loops or current.is_evaluating_repeat:
            continue
        if held and step.carrier in WAITING:
            wait_or_hold(draft, step, current)
        elif ended or held or current.is_parked:
            draft.update_step(current, is_parked=False)
            attempt_or_hold(draft, step)


def on_prepared(draft: Draft, key: str, visit: int, outcome: StepOutcome) -> None:
    """Handle the evaluated condition and input of a step."""
    step, current = draft.plan.step(key), draft.step(key)
    if current.visit != visit or current.status != "in_progress" or current.ready or current.attempts:
        return
    _record_evaluation(draft, step, outcome)
    match outcome.status:
        case "skipped":
            _skip_by_condition(draft, step, current, outcome)
        case "failed":
            fail(draft, step, current, _error_of(outcome))
        case "ready" | "succeeded":
            ready = draft.update_step(current, ready=True, input=outcome.input, wait_until=outcome.wait_until)
            if step.for_each is not None:
                loops.open_loop(draft, step, outcome)
            elif step.carrier in WAITING:
                wait_or_hold(draft, step, ready)
            else:
                attempt_or_hold(draft, step)


def wait_or_hold(draft: Draft, step: PlanStep, current: StepState) -> None:
    """Let a prepared step wait for people or for its time, or hold it until the run resumes."""
    if not draft.holds and (not step.has_condition or _may_spend(draft, step)):
        _wait(draft, step, current)


def _wait(draft: Draft, step: PlanStep, current: StepState) -> None:
    if step.carrier == "task":
        tasks.open_task(draft, step, current)
        return
    waiting = draft.update_step(current, status="waiting")
    due = current.wait_until or (draft.at if step.carrier == "timer" else None)
    draft.record("step_waiting", step=step.key, data={"until": due.isoformat() if due else None})
    if due is not None:
        kind = "timer" if step.carrier == "timer" else "signal"
        draft.start_timer(StepTimer(kind, step.key, waiting.visit), due, f"{step.name}: until {due.isoformat()}")
    if step.carrier == "signal":
        signals.on_waiting(draft, step, waiting)


def on_signal_timeout(draft: Draft, key: str, visit: int) -> None:
    """Time out a `signal_wait`."""
    step, current = draft.plan.step(key), draft.step(key)
    if current.visit == visit and current.status == "waiting" and current.incident_at is None:
        signals.on_timeout(draft, step, current)


def on_timer_elapsed(draft: Draft, key: str, visit: int) -> None:
    """Complete a `timer` step."""
    step, current = draft.plan.step(key), draft.step(key)
    if current.visit == visit and current.status == "waiting":
        complete(draft, step, draft.update_step(current, output=timer_output(draft.at)))


def on_retry_due(draft: Draft, key: str, visit: int) -> None:
    """Make the next attempt after a retry's delay."""
    step, current = draft.plan.step(key), draft.step(key)
    if current.visit != visit or current.status != "in_progress":
        return
    if draft.holds:
        draft.update_step(current, is_parked=True)
    else:
        attempt_or_hold(draft, step)


def on_reported(draft: Draft, key: str, visit: int, attempt: int, outcome: StepOutcome) -> None:
    """Handle the outcome of the running attempt."""
    step, current = draft.plan.step(key), draft.step(key)
    if not _is_running(draft, current, visit, attempt):
        return
    _record_evaluation(draft, step, outcome)
    match outcome.status:
        case "skipped":
            _skip_by_condition(draft, step, current, outcome)
        case "succeeded" | "ready":
            done = _end_attempt(draft, current, None)
            done = draft.update_step(
                done,
                input=outcome.input,
                output=outcome.output,
                measured_cost=outcome.cost,
                confidence=outcome.confidence,
                confidence_source=outcome.confidence_source,
            )
            if outcome.needs_review:
                tasks.open_task(draft, step, done, is_review=True)
            elif step.child is not None:
                children.on_started(draft, step, step.child, done)
            else:
                complete(draft, step, done)
        case "failed":
            error = _error_of(outcome)
            if error.code == NOT_STARTED:
                _redispatch_later(draft, current)
            else:
                if outcome.input is not None:
                    current = draft.update_step(current, input=outcome.input)
                _fail_attempt(draft, step, current, error)


def on_lost(draft: Draft, key: str, visit: int, attempt: int) -> None:
    """Dispatch the running attempt again, a bounded number of times: its worker vanished."""
    step, current = draft.plan.step(key), draft.step(key)
    if not _is_running(draft, current, visit, attempt):
        return
    if current.attempts[-1].lost >= MAX_LOST:
        message = f"its worker vanished {MAX_LOST} times"
        _fail_attempt(draft, step, current, StepError(kind="system", code="WORKER_LOST", message=message))
        return
    _put_attempt(draft, current, replace(current.attempts[-1], lost=current.attempts[-1].lost + 1))
    draft.record("attempt_lost", step=key, data={"attempt": attempt})
    if draft.state.is_draining:
        draft.update_step(draft.step(key), is_parked=True)
    else:
        draft.command(RunStep(step=key, visit=visit, attempt=attempt))


def _redispatch_later(draft: Draft, current: StepState) -> None:
    last = current.attempts[-1]
    _put_attempt(draft, current, replace(last, not_started=last.not_started + 1))
    due = draft.at + delay_before_redispatch(last.not_started)
    draft.start_timer(StepTimer("retry", current.key, current.visit), due, "the effect could not begin; again soon")


def _put_attempt(draft: Draft, current: StepState, last: Attempt) -> StepState:
    return draft.update_step(current, attempts=(*current.attempts[:-1], last))


def _is_running(draft: Draft, current: StepState, visit: int, attempt: int) -> bool:
    """Return whether this attempt is running; one that could not begin is not, until it is dispatched again."""
    return (
        current.visit == visit
        and current.status == "in_progress"
        and not current.is_parked
        and bool(current.attempts)
        and current.attempts[-1].number == attempt
        and current.attempts[-1].ended_at is None
        and not _is_delayed(draft, current)
    )


def _is_delayed(draft: Draft, current: StepState) -> bool:
    """Return whether a retry's delay is running."""
    return str(StepTimer("retry", current.key, current.visit)) in draft.state.timers


def _end_attempt(draft: Draft, current: StepState, error: StepError | None) -> StepState:
    return _put_attempt(draft, current, replace(current.attempts[-1], ended_at=draft.at, error=error))


def _fail_attempt(draft: Draft, step: PlanStep, current: StepState, error: StepError) -> None:
    failed = _end_attempt(draft, current, error)
    delay = delay_before_next(policy_of(step, draft.state), failed, error)
    if delay is None:
        children.on_not_started(draft, failed, error)
        fail(draft, step, failed, error)
        return
    number = len(failed.attempts)
    draft.record("attempt_failed", step=step.key, data={"attempt": number, **error_data(error), **_delay(delay)})
    draft.update_step(failed, error=error)
    summary = f"{step.name}: before attempt {number + 1}"
    draft.start_timer(StepTimer("retry", failed.key, failed.visit), draft.at + delay, summary)


def _delay(delay: timedelta) -> dict[str, int]:
    return {"retry_in_ms": round(delay.total_seconds() * 1000)}


def _error_of(outcome: StepOutcome) -> StepError:
    return outcome.error or StepError(kind="system", code="INTERNAL_ERROR", message="the step gave no reason")


def _skip_by_condition(draft: Draft, step: PlanStep, current: StepState, outcome: StepOutcome) -> None:
    values = safe_evaluation(draft.plan, step, outcome).get("values")
    skip(draft, current, outcome.reason or "its condition is false", values if isinstance(values, dict) else {})


def _record_evaluation(draft: Draft, step: PlanStep, outcome: StepOutcome) -> None:
    """Record each step's input and the values its condition read, in debug mode."""
    if draft.state.debug:
        draft.record("step_evaluated", step=step.key, data=safe_evaluation(draft.plan, step, outcome))

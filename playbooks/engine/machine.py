"""Every rule about runs in one pure, total function: `advance(plan, state, event) -> (state, commands)`.

Equal arguments give equal results, every event is legal in every state, a late or repeated one changes nothing. Because
state is data and this is a function without clock, randomness or I/O, replay, continue-as-new, simulation and tests
all use it.
"""

from __future__ import annotations

from datetime import timedelta
from typing import assert_never

from playbooks.common.values import Json, PayloadRef, StepError
from playbooks.engine.model import events
from playbooks.engine.model.commands import Command
from playbooks.engine.model.plan import Plan
from playbooks.engine.model.state import Request, RunState, StepState
from playbooks.engine.model.temporal_messages import LoopOutcome, RunInput
from playbooks.engine.model.timers import RunTimer, StepTimer, parse_timer
from playbooks.engine.rules import children, concurrency, control, endings, loops, repeats, steps, tasks
from playbooks.engine.rules.draft import Draft


def new_run(start: RunInput) -> RunState:
    """Return the state of a new run: queued, every step pending."""
    return RunState(
        organization_id=start.organization_id,
        execution_id=start.execution_id,
        initiator=start.initiator,
        priority=start.priority,
        max_retries=start.max_retries,
        debug=start.debug,
        notifies_on_completion=bool(start.notification and start.notification.get("on_completion")),
        input=start.input,
        variables=start.variables,
        timeout_minutes=start.timeout_minutes if start.timeout_minutes is not None else start.plan.timeout_minutes,
        concurrency="acquiring" if start.slot is not None and start.slot.on_limit != "reject" else None,
        steps={step.key: StepState(key=step.key) for step in start.plan.steps},
    )


def advance(plan: Plan, state: RunState, event: events.Event) -> tuple[RunState, tuple[Command, ...]]:
    """Return the next state and the commands that follow from an event."""
    draft = Draft(plan, state, event.at)
    if isinstance(event, events.MessageReceived | events.MessageChecked | events.MessageRefused):
        _on_message(draft, event)
    elif not draft.is_finished:
        _on_event(draft, event)
    if not draft.is_finished and draft.state.status != "queued":
        _open_kept(draft)
        steps.settle(draft)
    return draft.finish()


def _on_message(draft: Draft, event: events.MessageReceived | events.MessageChecked | events.MessageRefused) -> None:
    """Handle a message, which gets its verdict in every state."""
    match event:
        case events.MessageReceived(message=message, request=request, wants_answer=wants_answer):
            control.on_received(draft, Request(id=request, message=message, wants_answer=wants_answer))
        case events.MessageChecked(request=request, outcome=outcome):
            control.on_checked(draft, request, outcome)
        case events.MessageRefused(verb=verb, code=code, reason=reason):
            control.on_unreadable(draft, verb, code, reason)
        case _:
            assert_never(event)


def _on_event(draft: Draft, event: events.Happening) -> None:
    match event:
        case (
            events.StepPrepared()
            | events.StepReported()
            | events.AttemptLost()
            | events.LoopEvaluated()
            | events.ItemsCollected()
            | events.ChildRead()
        ):
            if event.step in draft.state.steps:
                _on_step_event(draft, event)
        case events.RunStarted():
            _start(draft)
        case events.DrainRequested():
            draft.set_internal(is_draining=True)
        case events.Continued():
            _continue(draft)
        case events.TimerFired(timer=timer):
            _on_timer(draft, timer)
        case events.CancelRequested(reason=reason):
            endings.cancel_run(draft, None, reason)
        case events.ConcurrencyReported(is_acquired=is_acquired):
            concurrency.on_reported(draft, is_acquired=is_acquired)
        case events.OutputMade(output=output, error=error):
            _on_output(draft, output, error)
        case _:
            assert_never(event)


def _on_step_event(
    draft: Draft,
    event: events.StepPrepared
    | events.StepReported
    | events.AttemptLost
    | events.LoopEvaluated
    | events.ItemsCollected
    | events.ChildRead,
) -> None:
    match event:
        case events.StepPrepared(step=step, visit=visit, outcome=outcome):
            steps.on_prepared(draft, step, visit, outcome)
        case events.StepReported(step=step, visit=visit, attempt=attempt, outcome=outcome):
            steps.on_reported(draft, step, visit, attempt, outcome)
        case events.AttemptLost(step=step, visit=visit, attempt=attempt):
            steps.on_lost(draft, step, visit, attempt)
        case events.LoopEvaluated(step=step, visit=visit, outcome=outcome):
            _on_loop_evaluated(draft, step, visit, outcome)
        case events.ItemsCollected(step=step, visit=visit, outcome=outcome):
            if draft.step(step).visit == visit:
                loops.on_collected(draft, draft.plan.step(step), outcome)
        case events.ChildRead(step=step, visit=visit, outcome=outcome):
            children.on_read(draft, draft.plan.step(step), visit, outcome)
        case _:
            assert_never(event)


def _on_loop_evaluated(draft: Draft, key: str, visit: int, outcome: LoopOutcome) -> None:
    step, current = draft.plan.step(key), draft.step(key)
    if current.visit != visit:
        return
    if step.for_each is not None and not current.is_evaluating_repeat:
        loops.on_evaluated(draft, step, outcome)
    else:
        repeats.on_evaluated(draft, step, current, outcome)


def _continue(draft: Draft) -> None:
    """Continue what was held, after continue-as-new."""
    if not draft.state.is_draining:
        return
    draft.set_internal(is_draining=False)
    if not draft.is_paused and draft.state.status != "queued":
        steps.resume_held(draft)


def _start(draft: Draft) -> None:
    if draft.state.status != "queued":
        return
    draft.set_visible(status="in_progress", started_at=draft.at)
    draft.record("run_started")
    minutes = draft.state.timeout_minutes
    if minutes is not None:
        draft.start_timer("deadline", draft.at + timedelta(minutes=minutes), "the run's deadline")
    concurrency.begin(draft)


def _open_kept(draft: Draft) -> None:
    """Apply decisions that came before their step waited for them."""
    if draft.state.kept and not draft.is_paused:
        control.apply_kept(draft)


def _on_output(draft: Draft, output: Json | PayloadRef, error: StepError | None) -> None:
    if not draft.state.is_making_output:
        return
    if draft.is_paused:
        draft.set_internal(is_making_output=False)
    elif error is not None:
        endings.fail_run(draft, error)
    else:
        draft.set_visible(output=output)
        endings.complete_run(draft)


def _on_timer(draft: Draft, text: str) -> None:
    if not draft.drop_timer(text):
        return
    timer = parse_timer(text)
    if not isinstance(timer, StepTimer):
        _on_run_timer(draft, timer)
    elif timer.step in draft.state.steps:
        _on_step_timer(draft, timer)


def _on_step_timer(draft: Draft, timer: StepTimer) -> None:
    key, visit = timer.step, timer.visit
    match timer.kind:
        case "retry":
            steps.on_retry_due(draft, key, visit)
        case "timer":
            steps.on_timer_elapsed(draft, key, visit)
        case "signal":
            steps.on_signal_timeout(draft, key, visit)
        case "child":
            children.on_timeout(draft, draft.plan.step(key), visit)
        case "repeat":
            repeats.on_delay_over(draft, draft.plan.step(key), draft.step(key), visit)
        case "window":
            control.apply_kept(draft, key)
            if not draft.is_finished:
                tasks.on_window_over(draft, draft.plan.step(key), draft.step(key))
        case "reminder":
            tasks.on_reminder(draft, draft.plan.step(key), draft.step(key), timer)
        case _:
            assert_never(timer.kind)


def _on_run_timer(draft: Draft, timer: RunTimer) -> None:
    match timer:
        case "deadline":
            message = "the run did not finish before its deadline"
            endings.fail_run(draft, StepError(kind="timeout", code="RUN_TIMEOUT", message=message))
        case "resume":
            control.resume_run(draft, None, "the pause is over")
        case "concurrency":
            concurrency.on_waited(draft)
        case _:
            assert_never(timer)

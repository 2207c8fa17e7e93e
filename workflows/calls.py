"""Calls of activities, with every timeout and retry policy. Nothing else in `workflows` names a number of seconds.

Local activities are pure and go through the lane, one outstanding at a time; all others are regular and visible in the
history.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, cast

from temporalio import workflow
from temporalio.common import RetryPolicy, SearchAttributeKey, SearchAttributeUpdate

from playbooks.engine.model.activity_names import ActivityName
from playbooks.engine.model.plan import PlanStep
from playbooks.engine.model.temporal_messages import (
    AcquireCall,
    AcquireResult,
    CancelCall,
    CheckCall,
    ChildCall,
    CollectCall,
    FlushCall,
    FlushResult,
    LoopCall,
    LoopOutcome,
    NotificationCall,
    NotifyNextCall,
    NotifyParentCall,
    OutcomeOfCheck,
    OutputCall,
    OutputResult,
    RunProjection,
    StepCall,
    StepOutcome,
    TaskCall,
)

LANE_BUDGET_MS = 500
"""Lane work within one workflow task; signals wait no longer than this behind a busy lane."""

_YIELD = timedelta(milliseconds=1)
_LANE_TIMEOUT = timedelta(seconds=60)
_HEARTBEAT_TIMEOUT = timedelta(seconds=5)
_FLUSH_TIMEOUT = timedelta(seconds=30)
_ONCE = RetryPolicy(maximum_attempts=1)
_UNTIL_DONE = RetryPolicy(
    initial_interval=timedelta(milliseconds=200), backoff_coefficient=2.0, maximum_interval=timedelta(seconds=5)
)

_RUN_STATUS = SearchAttributeKey.for_keyword("RunStatus")
_RUN_PRIORITY = SearchAttributeKey.for_keyword("RunPriority")
_CURRENT_STEP = SearchAttributeKey.for_keyword("CurrentStep")


def pure_step(step: PlanStep, call: StepCall) -> workflow.ActivityHandle[StepOutcome]:
    """Start one attempt of a pure handler, under its name. The machine owns the retry policy, so Temporal has none."""
    return workflow.start_local_activity(
        step.worker_type,
        call,
        result_type=StepOutcome,
        start_to_close_timeout=timedelta(seconds=step.timeout_seconds),
        retry_policy=_ONCE,
        summary=step.name,
    )


def effect_step(step: PlanStep, call: StepCall, rows: FlushCall | None) -> workflow.ActivityHandle[StepOutcome]:
    """Start one attempt of an effect, under its handler's name. A lost worker is detected by the heartbeat timeout.

    `rows` is a flush that the activity may write.
    """
    return workflow.start_activity(
        ActivityName.AI if step.step_type == "ai" else step.worker_type,
        args=[call, rows],
        result_type=StepOutcome,
        start_to_close_timeout=timedelta(seconds=step.timeout_seconds),
        heartbeat_timeout=_HEARTBEAT_TIMEOUT,
        retry_policy=_ONCE,
        summary=step.name,
    )


def prepare_step(step: PlanStep, call: StepCall) -> workflow.ActivityHandle[StepOutcome]:
    """Evaluate condition and input of a step whose work is not in the lane."""
    return _lane(ActivityName.PREPARE_STEP, call, StepOutcome, f"{step.name}: condition and input")


def evaluate_loop(step: PlanStep, call: LoopCall) -> workflow.ActivityHandle[LoopOutcome]:
    """Evaluate whether a loop continues."""
    return _lane(ActivityName.EVALUATE_LOOP, call, LoopOutcome, f"{step.name}: whether it goes on")


def collect_items(step: PlanStep, call: CollectCall) -> workflow.ActivityHandle[StepOutcome]:
    """Collect a loop's output."""
    return _lane(ActivityName.COLLECT_ITEMS, call, StepOutcome, f"{step.name}: output of its items")


def read_child(step: PlanStep, call: ChildCall) -> workflow.ActivityHandle[StepOutcome]:
    """Read whether the run that a step waits for has ended, and its output."""
    return _lane(ActivityName.READ_CHILD, call, StepOutcome, f"{step.name}: end of run {call.child}")


def check_message(verb: str, call: CheckCall) -> workflow.ActivityHandle[OutcomeOfCheck]:
    """Check identity and form of a control message."""
    return _lane(ActivityName.CHECK_MESSAGE, call, OutcomeOfCheck, f"check: {verb}")


def make_output(call: OutputCall) -> workflow.ActivityHandle[OutputResult]:
    """Make the run's output."""
    return _lane(ActivityName.MAKE_OUTPUT, call, OutputResult, "output")


def _lane(name: ActivityName, call: object, result_type: type, summary: str) -> workflow.ActivityHandle[Any]:
    return workflow.start_local_activity(
        name,
        call,
        result_type=result_type,
        start_to_close_timeout=_LANE_TIMEOUT,
        retry_policy=_UNTIL_DONE,
        summary=summary,
    )


def announce_task(
    step: PlanStep, call: TaskCall, rows: FlushCall | None
) -> workflow.ActivityHandle[FlushResult | None]:
    """Make a task visible to people; repeated until it is. With `rows` it is a flush as well."""
    return workflow.start_activity(
        ActivityName.ANNOUNCE_TASK,
        args=[call, rows],
        result_type=cast("type[FlushResult | None]", FlushResult | None),
        start_to_close_timeout=_FLUSH_TIMEOUT,
        heartbeat_timeout=_HEARTBEAT_TIMEOUT,
        retry_policy=_UNTIL_DONE,
        summary=step.name,
    )


def record_notification(call: NotificationCall) -> workflow.ActivityHandle[None]:
    """Record a notification once."""
    return _until_done(ActivityName.RECORD_NOTIFICATION, call, call.kind.replace("_", " "))


def request_cancel(call: CancelCall) -> workflow.ActivityHandle[None]:
    """Ask Temporal to cancel this workflow, so that it closes as Canceled."""
    return _until_done(ActivityName.REQUEST_CANCEL, call, "close as cancelled")


def cancel_child(call: CancelCall) -> workflow.ActivityHandle[None]:
    """Cancel a child run."""
    return _until_done(ActivityName.CANCEL_CHILD, call, f"cancel run {call.execution_id}")


def notify_parent(call: NotifyParentCall) -> workflow.ActivityHandle[None]:
    """Notify the parent that this run has ended."""
    return _until_done(ActivityName.NOTIFY_PARENT, call, f"notify run {call.parent.execution_id}")


def acquire_concurrency(call: AcquireCall) -> workflow.ActivityHandle[AcquireResult]:
    """Try to acquire the concurrency limit; repeated until there is an answer."""
    return workflow.start_activity(
        ActivityName.ACQUIRE_CONCURRENCY,
        call,
        result_type=AcquireResult,
        start_to_close_timeout=_FLUSH_TIMEOUT,
        heartbeat_timeout=_HEARTBEAT_TIMEOUT,
        retry_policy=_UNTIL_DONE,
        summary="whose turn it is",
    )


def notify_next(call: NotifyNextCall) -> workflow.ActivityHandle[None]:
    """Notify the next run of the same concurrency limit."""
    return _until_done(ActivityName.NOTIFY_NEXT, call, "whose turn it is now")


def _until_done(name: ActivityName, call: object, summary: str) -> workflow.ActivityHandle[None]:
    return workflow.start_activity(
        name,
        call,
        start_to_close_timeout=_FLUSH_TIMEOUT,
        heartbeat_timeout=_HEARTBEAT_TIMEOUT,
        retry_policy=_UNTIL_DONE,
        summary=summary,
    )


def flush(call: FlushCall) -> workflow.ActivityHandle[FlushResult]:
    """Write committed state to the tables; retries are unlimited, because nothing else may write them."""
    return workflow.start_activity(
        ActivityName.FLUSH,
        call,
        result_type=FlushResult,
        start_to_close_timeout=_FLUSH_TIMEOUT,
        heartbeat_timeout=_HEARTBEAT_TIMEOUT,
        retry_policy=_UNTIL_DONE,
        summary=f"rows up to {call.seq}",
    )


async def end_workflow_task() -> None:
    """End the workflow task with a timer that is due at once, so that waiting signals are delivered."""
    await sleep(_YIELD, "let signals in")


async def sleep(delay: timedelta, summary: str) -> None:
    """Start a durable timer, even if the instant has passed: the clock must not decide whether there is one."""
    await workflow.sleep(max(delay, _YIELD), summary=summary)


def upsert_search_attributes(run: RunProjection) -> None:
    """Update the search attributes; done with a flush, not per step."""
    updates: list[SearchAttributeUpdate[Any]] = [
        _RUN_STATUS.value_set(run.status),
        _RUN_PRIORITY.value_set(run.priority),
        _CURRENT_STEP.value_set(run.current_step or "-"),
    ]
    workflow.upsert_search_attributes(updates)  # pyright: ignore[reportUnknownMemberType]

"""Timers of a run, on the server that skips time: hours pass in milliseconds."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment

from playbooks.common.values import StepError
from playbooks.engine.model.plan import ApprovalPlan, RetryPolicy
from playbooks.engine.model.temporal_messages import StepOutcome
from tests.support.plans import effect, human, plan_of, step
from tests.support.waiting import eventually
from tests.workflows.playing import Handle, Stage, state_of, vote


async def now_of(environment: WorkflowEnvironment) -> datetime:
    return (await environment.get_current_time()).astimezone(UTC)


async def test_waits_for_hours_and_goes_on_when_a_step_is_a_timer(
    skipping: Stage, time_skipping: WorkflowEnvironment
) -> None:
    due = await now_of(time_skipping) + timedelta(hours=30)
    skipping.world.prepared["t"] = StepOutcome(status="ready", wait_until=due)
    async with skipping.worker():
        handle = await skipping.start(
            plan_of(step("t", 1, carrier="timer", worker_type="timer"), step("b", 2, after=("t",)))
        )
        assert (await handle.result()).status == "completed"
        state = await state_of(handle)
    assert state.steps["t"].completed_at is not None
    assert timedelta(0) <= state.steps["t"].completed_at - due < timedelta(seconds=5)


async def test_fails_with_timeout_when_the_deadline_passes(skipping: Stage) -> None:
    async with skipping.worker():
        handle = await skipping.start(plan_of(human("h", 1)), timeout_minutes=90.0)
        with pytest.raises(WorkflowFailureError) as failure:
            await handle.result()
        state = await state_of(handle)
    assert isinstance(failure.value.cause, ApplicationError)
    assert failure.value.cause.type == "RUN_TIMEOUT"
    assert state.started_at is not None
    assert state.completed_at is not None
    assert timedelta(minutes=90) <= state.completed_at - state.started_at < timedelta(minutes=91)
    assert skipping.world.flushes[-1].run.status == "failed"


async def test_reminds_escalates_and_gives_up_without_a_decision(skipping: Stage) -> None:
    rules = ApprovalPlan(
        window_minutes=60.0, reminder_minutes=(20.0, 40.0), on_timeout="escalate", escalate_to_roles=("chief",)
    )
    async with skipping.worker():
        handle = await skipping.start(plan_of(human("h", 1, approval=rules), step("b", 2, after=("h",))))
        assert (await handle.result()).status == "completed"
        task = (await state_of(handle)).steps["h"].task
    assert task is not None
    assert (task.decision, task.roles) == ("timed_out", ("approver", "chief"))
    assert task.closed_at is not None
    assert timedelta(hours=2) <= task.closed_at - task.opened_at < timedelta(hours=2, minutes=1)
    assert [call.kind for call in skipping.world.notifications] == ["task_reminder", "task_reminder"]
    assert len({call.key for call in skipping.world.notifications}) == 2
    assert [kind for kind in skipping.world.event_kinds if kind.startswith("task_")] == [
        "task_opened",
        "task_reminded",
        "task_reminded",
        "task_escalated",
        "task_closed",
    ]


async def test_keeps_the_answer_when_the_window_closes_after_it(
    skipping: Stage, time_skipping: WorkflowEnvironment
) -> None:
    rules = ApprovalPlan(window_minutes=60.0, on_timeout="reject")
    async with skipping.worker():
        handle = await skipping.start(plan_of(human("h", 1, approval=rules), human("i", 2, after=("h",))))
        await eventually(lambda: skipping.world.tasks)
        await handle.signal("decide", vote("h", "anna"))
        await eventually(lambda: len(skipping.world.tasks) == 2)
        await time_skipping.sleep(timedelta(hours=2))
        await handle.signal("decide", vote("i", "ben"))
        await handle.result()
        state = await state_of(handle)
    assert state.steps["h"].task is not None
    assert state.steps["h"].task.decision == "approved"


async def test_resumes_by_itself_when_the_pause_had_an_end(skipping: Stage, time_skipping: WorkflowEnvironment) -> None:
    async with skipping.worker():
        handle = await skipping.start(plan_of(human("h", 1), step("b", 2, after=("h",))))
        await eventually(lambda: skipping.world.tasks)
        end = await now_of(time_skipping) + timedelta(hours=4)
        await handle.signal("pause", {"until": end.isoformat()})
        await handle.signal("decide", vote("h", "anna"))
        assert (await handle.result()).status == "completed"
        state = await state_of(handle)
    assert state.steps["b"].started_at is not None
    assert state.steps["b"].started_at >= end


async def test_backs_off_exactly_when_attempts_fail(skipping: Stage) -> None:
    error = StepError(kind="network", code="HTTP_503", message="away", retry_after_ms=7_200_000)
    skipping.world.scripts["a"] = [
        StepOutcome(status="failed", error=StepError(kind="network", code="HTTP_500", message="no")),
        StepOutcome(status="failed", error=error),
        StepOutcome(status="succeeded", output=1),
    ]
    policy = RetryPolicy(max_retries=2, initial_delay_ms=600_000, max_delay_ms=600_000)
    async with skipping.worker():
        handle = await skipping.start(plan_of(effect("a", 1, retry=policy)))
        assert (await handle.result()).status == "completed"
        waits = await waits_between_attempts(handle)
    assert [round(wait.total_seconds() / 60) for wait in waits] == [10, 120]


async def waits_between_attempts(handle: Handle) -> list[timedelta]:
    attempts = (await state_of(handle)).steps["a"].attempts
    pairs = itertools.pairwise(attempts)
    return [later.started_at - earlier.ended_at for earlier, later in pairs if earlier.ended_at is not None]

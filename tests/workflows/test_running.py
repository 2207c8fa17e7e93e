"""The shell of a run: endings, losses, bursts, continue-as-new."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from temporalio import activity
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError
from temporalio.common import SearchAttributeKey
from temporalio.exceptions import ApplicationError

from playbooks.common.values import ErrorKind, StepError
from playbooks.engine.digest import digest_of_lines
from playbooks.engine.model.plan import ApprovalPlan, RetryPolicy
from playbooks.engine.model.temporal_messages import RunResult, StepCall, StepOutcome
from tests.support.plans import ORGANIZATION, effect, human, plan_of, step
from tests.support.waiting import eventually, holds
from tests.workflows.playing import Stage, events_of, state_of, update, vote
from tests.workflows.short_lived import ShortLivedRunWorkflow
from workflows import calls

SCHEDULED = EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
TASK_FAILED = EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED


def failure(kind: ErrorKind = "network") -> StepOutcome:
    return StepOutcome(status="failed", error=StepError(kind=kind, code="HTTP_500", message="it failed"))


def raised(kind: ErrorKind, **details: Any) -> ApplicationError:
    """As activities raise a failed outcome."""
    facts = {"error": {"kind": kind, "code": "HTTP_500", "message": "it failed", **details}, "input": {"n": 1}}
    return ApplicationError("it failed", facts, type=kind, non_retryable=True)


# --- ends


async def test_answers_status_seq_and_digest_when_a_run_completes(stage: Stage) -> None:
    async with stage.worker():
        handle = await stage.start(plan_of(step("a", 1), effect("b", 2, after=("a",))), input={"x": 1})
        result = await handle.result()
        state = await state_of(handle)
    last = stage.world.flushes[-1]
    assert result == RunResult(status="completed", seq=state.seq, digest=digest_of_lines(state))
    assert (last.seq, last.run.digest, last.run.status) == (result.seq, result.digest, "completed")
    assert state.outbox == ()
    numbers = [event.number for call in stage.world.flushes for event in call.events]
    assert numbers == list(range(2, state.event_count + 1))


async def test_fails_with_the_same_facts_as_details_when_a_run_fails(stage: Stage) -> None:
    stage.world.scripts["a"] = [raised("permission")]
    async with stage.worker():
        handle = await stage.start(plan_of(effect("a", 1)))
        with pytest.raises(WorkflowFailureError) as failed:
            await handle.result()
        state = await state_of(handle)
    cause = failed.value.cause
    assert isinstance(cause, ApplicationError)
    assert (cause.type, cause.non_retryable) == ("HTTP_500", True)
    assert cause.details[0] == {"status": "failed", "seq": state.seq, "digest": digest_of_lines(state)}
    assert stage.world.flushes[-1].run.error == StepError(kind="permission", code="HTTP_500", message="it failed")
    assert state.steps["a"].input == {"n": 1}


@pytest.mark.parametrize(
    ("answer", "kind", "code"),
    [
        (ApplicationError("oops", type="Whatever"), "system", "INTERNAL_ERROR"),
        (ApplicationError("oops", "text", type="network"), "system", "INTERNAL_ERROR"),
        (ApplicationError("oops", {"error": {"kind": "nonsense", "code": 7}}), "system", "INTERNAL_ERROR"),
        (ValueError("a bug"), "system", "INTERNAL_ERROR"),
        (raised("not_found"), "not_found", "HTTP_500"),
    ],
    ids=["no details", "text", "wrong fields", "exception", "ours"],
)
async def test_reads_a_failure_of_any_shape_when_an_activity_fails(
    stage: Stage, answer: Exception, kind: str, code: str
) -> None:
    stage.world.scripts["a"] = [answer]
    async with stage.worker():
        handle = await stage.start(plan_of(effect("a", 1, critical=False)))
        await handle.result()
        error = (await state_of(handle)).steps["a"].error
    assert error is not None
    assert (error.kind, error.code) == (kind, code)


async def test_tries_again_when_attempts_fail(stage: Stage) -> None:
    quick = RetryPolicy(max_retries=2, initial_delay_ms=10)
    stage.world.scripts["a"] = [raised("network"), failure(), StepOutcome(status="succeeded", output=1)]
    stage.world.scripts["b"] = [failure(), StepOutcome(status="succeeded", output=2)]
    async with stage.worker():
        plan = plan_of(effect("a", 1, retry=quick), step("b", 2, after=("a",), retry=quick))
        assert (await (await stage.start(plan)).result()).status == "completed"
    keys = {(call.step, call.attempt): call.effect_key.split(":")[1:] for call in stage.world.step_calls}
    assert list(keys) == [("a", 1), ("a", 2), ("a", 3), ("b", 1), ("b", 2)]
    assert keys["a", 1] == keys["a", 3] == ["a", "1"], "the key of an effect does not know the attempt"


async def test_hands_a_step_only_what_it_refers_to_when_it_runs(stage: Stage) -> None:
    stage.world.scripts["a"] = [StepOutcome(status="succeeded", output={"x": 1, "secret": 2})]
    plan = plan_of(step("a", 1), effect("b", 2, after=("a",), references=(("steps", "a", "output", "x"),)))
    async with stage.worker():
        await (await stage.start(plan, input={"hidden": True})).result()
    assert [call.context for call in stage.world.step_calls] == [{}, {"steps": {"a": {"output": {"x": 1}}}}]


async def test_notifies_once_when_the_run_was_asked_to(stage: Stage) -> None:
    async with stage.worker():
        await (await stage.start(plan_of(step("a", 1)), notification={"on_completion": True})).result()
    assert [(call.kind, call.data["status"]) for call in stage.world.notifications] == [("run_finished", "completed")]


async def test_shows_the_run_in_lists_when_the_namespace_knows_our_attributes(stage: Stage) -> None:
    async with stage.worker():
        handle = await stage.start(plan_of(step("a", 1)), has_search_attributes=True, priority="high")
        await handle.result()
        shown = (await handle.describe()).typed_search_attributes
    keys = [SearchAttributeKey.for_keyword(name) for name in ("RunStatus", "RunPriority", "CurrentStep")]
    assert [shown.get(key) for key in keys] == ["completed", "high", "-"]


# --- losses


async def test_sends_the_attempt_again_under_its_key_when_its_worker_vanished(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never_beats(_: StepCall) -> StepOutcome:
        await asyncio.sleep(30)
        raise AssertionError("the server gives up on it long before")

    monkeypatch.setattr(calls, "_HEARTBEAT_TIMEOUT", timedelta(seconds=1))
    stage.world.scripts["a"] = [never_beats, StepOutcome(status="succeeded", output=1)]
    async with stage.worker(passed=("workflows",)):
        handle = await stage.start(plan_of(effect("a", 1, retry=RetryPolicy(max_retries=0))))
        assert (await handle.result()).status == "completed"
        step_state = (await state_of(handle)).steps["a"]
    assert [(attempt.number, attempt.lost) for attempt in step_state.attempts] == [(1, 1)]
    first, second = stage.world.step_calls
    assert (first.attempt, first.effect_key) == (second.attempt, second.effect_key)
    assert "attempt_lost" in stage.world.event_kinds


async def test_sends_the_attempt_again_when_a_deploy_stops_its_worker(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "_HEARTBEAT_TIMEOUT", timedelta(seconds=1))
    gate = stage.world.gate("a")
    async with stage.worker(passed=("workflows",)):
        handle = await stage.start(plan_of(effect("a", 1, retry=RetryPolicy(max_retries=0))))
        await eventually(lambda: stage.world.calls)
    gate.set()
    async with stage.worker(passed=("workflows",)):
        assert (await handle.result()).status == "completed"
    assert len(stage.world.step_calls) == 2


async def test_is_a_timeout_when_an_attempt_takes_too_long(stage: Stage) -> None:
    stage.world.gate("a")
    async with stage.worker():
        handle = await stage.start(
            plan_of(effect("a", 1, timeout_seconds=0.3, critical=False, retry=RetryPolicy(max_retries=0)))
        )
        await handle.result()
        error = (await state_of(handle)).steps["a"].error
    assert error is not None
    assert (error.kind, error.code) == ("timeout", "STEP_TIMEOUT")


async def test_goes_on_when_the_worker_restarts_between_steps(stage: Stage) -> None:
    async with stage.worker():
        handle = await stage.start(plan_of(step("a", 1), human("h", 2, after=("a",)), step("b", 3, after=("h",))))
        await eventually(lambda: stage.world.tasks)
    async with stage.worker():
        await update(handle, "decide", vote("h", "anna"))
        assert (await handle.result()).status == "completed"
    assert [call for call in stage.world.calls if call[1] == "a"] == [("data_processor", "a")]


# --- bursts


async def test_projects_a_burst_at_once_when_fifty_fast_steps_run(stage: Stage) -> None:
    steps = [step("s1", 1), *(step(f"s{n}", n, after=(f"s{n - 1}",)) for n in range(2, 51))]
    async with stage.worker():
        handle = await stage.start(plan_of(*steps))
        await handle.result()
    assert len(stage.world.flushes) <= 8, "a burst costs a few flushes, not one a step"
    assert {line.key for call in stage.world.flushes for line in call.steps} == {f"s{n}" for n in range(1, 51)}
    assert await events_of(handle, TASK_FAILED) == []


async def test_has_one_flush_in_flight_and_the_next_carries_the_rest_when_flushing_is_slow(stage: Stage) -> None:
    gate = stage.world.gate("flush")
    async with stage.worker():
        handle = await stage.start(plan_of(*(effect(f"e{n}", n) for n in range(1, 9))))
        await eventually(lambda: len(stage.world.calls) == 8)
        await eventually(lambda: len(stage.world.flushes) == 1)
        await holds(lambda: len(stage.world.flushes) == 1, 0.3)
        gate.set()
        await handle.result()
    assert len(stage.world.flushes) <= 4
    assert [call.seq for call in stage.world.flushes] == sorted({call.seq for call in stage.world.flushes})


async def test_runs_effects_side_by_side_when_forty_are_ready(stage: Stage) -> None:
    """No effect ends before all forty have begun: one that had to wait for another would never let them."""
    everybody = asyncio.Barrier(40)

    async def counted(call: StepCall) -> StepOutcome:
        activity.heartbeat()
        await asyncio.wait_for(everybody.wait(), 20)
        return StepOutcome(status="succeeded", output=call.step)

    keys = tuple(f"e{n}" for n in range(1, 41))
    stage.world.scripts = {key: [counted] for key in keys}
    plan = plan_of(*(effect(key, n) for n, key in enumerate(keys, 1)), step("last", 41, after=keys))
    async with stage.worker():
        handle = await stage.start(plan)
        assert (await handle.result()).status == "completed"
        state = await state_of(handle)
    assert {now.status for now in state.steps.values()} == {"completed"}
    assert len(await events_of(handle, SCHEDULED)) <= 40 + 8


async def test_handles_messages_when_the_lane_is_busy(stage: Stage) -> None:
    """Each step reports a duration of 300 ms, so the lane lets signals in after every second one."""
    stage.world.answer = lambda _: StepOutcome(status="succeeded", elapsed_ms=300)
    steps = [step("s1", 1), *(step(f"s{n}", n, after=(f"s{n - 1}",)) for n in range(2, 8))]
    async with stage.worker():
        handle = await stage.start(plan_of(*steps))
        await eventually(lambda: len(stage.world.calls) >= 2)
        await handle.signal("pause")
        await eventually(lambda: stage.world.flushes and stage.world.flushes[-1].run.status == "paused")
        assert len(stage.world.calls) < 7
        await handle.signal("resume")
        await handle.result()
    tasks = await events_of(handle, EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED)
    assert len(tasks) >= 5


# --- continue as new


async def test_goes_on_as_a_new_execution_when_its_history_grows(stage: Stage) -> None:
    rules = ApprovalPlan(threshold=2, max_voters=2, window_minutes=60.0)
    plan = plan_of(step("a", 1), human("h", 2, after=("a",), approval=rules), step("b", 3, after=("h",)))
    async with stage.worker(workflow=ShortLivedRunWorkflow):
        handle = await stage.start(plan, timeout_minutes=60.0)
        first_run = handle.first_execution_run_id
        await eventually(lambda: stage.world.tasks)
        assert (await update(handle, "decide", vote("h", "anna"))).outcome == "accepted"
        await until_new(stage, handle.id, first_run)
        assert (await update(handle, "pause", {"reason": "lunch"})).outcome == "accepted"
        assert (await update(handle, "decide", vote("h", "anna"))).code == "ALREADY_DECIDED"
        assert (await update(handle, "decide", vote("h", "ben"))).outcome == "kept"
        state = await state_of(handle)
        assert set(state.timers) == {"deadline", "window:h:1"}
        assert (await update(handle, "resume")).outcome == "accepted"
        assert (await handle.result()).status == "completed"
        latest = await stage.client.get_workflow_handle(handle.id).describe()
    runs = {call.temporal_run_id for call in stage.world.flushes}
    assert len(runs) >= 2
    assert latest.status == WorkflowExecutionStatus.COMPLETED
    seqs = [call.seq for call in stage.world.flushes]
    assert seqs == sorted(set(seqs))
    numbers = [event.number for call in stage.world.flushes for event in call.events]
    assert numbers == list(range(2, len(numbers) + 2)), "no event is lost or repeated between executions"
    assert stage.world.event_kinds.count("run_started") == 1
    assert [call.step for call in stage.world.step_calls] == ["a", "b"]


async def until_new(stage: Stage, workflow_id: str, old_run: str | None) -> None:
    """Wait until a new execution of the workflow runs."""
    handle = stage.client.get_workflow_handle(workflow_id)

    async def is_new() -> bool:
        return (await handle.describe()).run_id != old_run

    await eventually(is_new)


async def test_stays_itself_when_many_messages_come_between_executions(stage: Stage) -> None:
    async with stage.worker(workflow=ShortLivedRunWorkflow):
        handle = await stage.start(plan_of(human("h", 1)))
        await eventually(lambda: stage.world.tasks)
        for _ in range(10):
            await handle.signal("frobnicate")
            await handle.signal("claim", {"step": "h", "actor": {"sub": "anna", "roles": ["approver"]}})
        assert (await update(handle, "decide", vote("h", "ben"))).code == "NOT_ELIGIBLE"
        assert (await update(handle, "decide", vote("h", "anna"))).outcome == "accepted"
        assert (await handle.result()).status == "completed"
    assert stage.world.event_kinds.count("message_refused") == 10
    assert stage.world.event_kinds.count("task_claimed") == 1
    assert all(call.organization_id == ORGANIZATION for call in stage.world.flushes)

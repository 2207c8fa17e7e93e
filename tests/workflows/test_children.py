"""A run beside other runs: start, cancel, notify and wait, on a real server."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from uuid import UUID

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError
from temporalio.service import RPCError

from playbooks.engine.model.plan import RetryPolicy
from playbooks.engine.model.temporal_messages import ChildCall, ConcurrencyLimit, ParentRun, StepOutcome
from tests.support.plans import child, plan_of, step
from tests.support.waiting import eventually, holds
from tests.workflows.flow_scenarios import child_ended
from tests.workflows.playing import SIGNED, Handle, Stage, state_of, update
from tests.workflows.short_lived import ShortLivedRunWorkflow

PLAN = plan_of(child("c", 1), step("b", 2, after=("c",)))
PARENT = ParentRun(execution_id=UUID(int=7), step="s", visit=1, depth=1)
SLOT = ConcurrencyLimit(label="key", max_runs=1)
DONE = StepOutcome(status="succeeded", output={"status": "completed", "output": 1})


def is_waiting(stage: Stage, key: str = "c") -> bool:
    return any(line.key == key and line.status == "waiting" for flush in stage.world.flushes for line in flush.steps)


async def closed_as(handle: Handle) -> WorkflowExecutionStatus | None:
    return (await handle.describe()).status


async def test_goes_on_when_it_is_notified_that_its_child_has_ended(stage: Stage) -> None:
    async with stage.worker():
        handle = await stage.start(PLAN)
        await eventually(lambda: is_waiting(stage))
        shown = [flush.run.children for flush in stage.world.flushes]
        stage.world.ends = lambda _: DONE
        await handle.signal("child_ended", child_ended(handle, "c"))
        assert (await handle.result()).status == "completed"
        state = await state_of(handle)
    assert state.steps["c"].output == {"status": "completed", "output": 1}
    assert shown[-1] == (state.steps["c"].child,)
    assert stage.world.flushes[-1].run.children == ()
    assert [call[1] for call in stage.world.calls if call[0] == "sub_playbook"] == ["c"]
    assert stage.world.notified_parents == []


async def test_refuses_an_unsigned_message_of_the_service(stage: Stage) -> None:
    stage.world.ends = lambda _: StepOutcome(status="ready")
    async with stage.worker():
        handle = await stage.start(PLAN)
        await eventually(lambda: is_waiting(stage))
        stage.world.ends = lambda _: DONE
        unsigned = {name: value for name, value in child_ended(handle, "c").items() if name not in SIGNED}
        await handle.signal("child_ended", unsigned)
        await eventually(lambda: "message_refused" in stage.world.event_kinds)
        assert (await state_of(handle)).steps["c"].status == "waiting"
        await update(handle, "cancel_run")
        with pytest.raises(WorkflowFailureError):
            await handle.result()


async def test_passes_a_cancel_down_and_ends_when_it_is_cancelled(stage: Stage) -> None:
    async with stage.worker():
        handle = await stage.start(PLAN)
        await eventually(lambda: is_waiting(stage))
        await update(handle, "cancel_run", {"reason": "no money"})
        with pytest.raises(WorkflowFailureError):
            await handle.result()
        state = await state_of(handle)
        assert await closed_as(handle) == WorkflowExecutionStatus.CANCELED
    assert [call.execution_id for call in stage.world.cancelled_children] == [state.steps["c"].child]


async def test_waits_for_a_start_on_its_way_before_it_cancels_what_came_of_it(stage: Stage) -> None:
    gate = stage.world.gate("c")
    async with stage.worker():
        handle = await stage.start(PLAN)
        await eventually(lambda: stage.world.calls)
        await update(handle, "cancel_run")
        await eventually(lambda: stage.world.flushes and stage.world.flushes[-1].run.status == "cancelled")
        # It is not known yet whether there is a child.
        await holds(lambda: stage.world.cancelled_children == [], 0.3)
        assert await closed_as(handle) == WorkflowExecutionStatus.RUNNING
        gate.set()
        with pytest.raises(WorkflowFailureError):
            await handle.result()
    assert len(stage.world.cancelled_children) == 1


async def test_leaves_a_child_alone_when_its_step_does_not_wait(stage: Stage) -> None:
    gate = stage.world.gate("b")
    gate.clear()
    plan = plan_of(child("c", 1, waits=False), child("b", 2, after=("c",)))
    async with stage.worker():
        handle = await stage.start(plan)
        await eventually(lambda: len(stage.world.calls) == 2)
        await update(handle, "cancel_run")
        gate.set()
        with pytest.raises(WorkflowFailureError):
            await handle.result()
    assert len(stage.world.cancelled_children) == 1, "the one that is waited for"


@pytest.mark.parametrize("ending", ["completed", "failed", "cancelled"])
async def test_notifies_its_parent_after_its_rows_show_how_it_ended(stage: Stage, ending: str) -> None:
    gate = stage.world.gate(f"flush:{ending}")
    if ending == "failed":
        error = StepOutcome(status="failed", error=None)
        stage.world.scripts["a"] = [error]
    if ending == "cancelled":
        stage.world.gate("a")
    plan = plan_of(step("a", 1, carrier="effect", worker_type="http_request", retry=RetryPolicy(max_retries=0)))
    async with stage.worker():
        handle = await stage.start(plan, parent=PARENT, slot=SLOT)
        if ending == "cancelled":
            await eventually(lambda: stage.world.calls)
            await update(handle, "cancel_run")
        await eventually(lambda: stage.world.flushes and stage.world.flushes[-1].run.status == ending)
        await holds(lambda: stage.world.notified_parents == [], 0.2)
        gate.set()
        try:
            await handle.result()
        except WorkflowFailureError:
            assert ending != "completed"
    assert [call.parent for call in stage.world.notified_parents] == [PARENT]
    assert [call.limit for call in stage.world.notified_next] == [SLOT]


async def test_sends_no_notification_when_its_parent_does_not_wait(stage: Stage) -> None:
    apart = ParentRun(execution_id=UUID(int=7), step="s", visit=1, depth=1, waits=False)
    async with stage.worker():
        await (await stage.start(plan_of(step("a", 1)), parent=apart)).result()
    assert stage.world.notified_parents == stage.world.notified_next == []


async def test_waits_for_its_limit_and_acquires_it_when_it_is_notified(stage: Stage) -> None:
    stage.world.frees = lambda _: len(stage.world.asked) > 1
    async with stage.worker():
        handle = await stage.start(plan_of(step("a", 1)), slot=SLOT)
        await eventually(lambda: stage.world.flushes and stage.world.flushes[-1].run.waiting_for == "concurrency")
        assert stage.world.step_calls == []
        await handle.signal("concurrency_free", SIGNED)
        assert (await handle.result()).status == "completed"
    assert [call.cancels_oldest for call in stage.world.asked] == [False, False]
    assert stage.world.flushes[-1].run.waiting_for is None
    assert stage.world.notified_next[0].limit == SLOT


async def test_makes_room_with_its_first_question_only_when_the_oldest_have_to_go(stage: Stage) -> None:
    stage.world.frees = lambda _: len(stage.world.asked) > 1
    slot = ConcurrencyLimit(label="key", max_runs=1, on_limit="cancel_oldest")
    async with stage.worker():
        handle = await stage.start(plan_of(step("a", 1)), slot=slot)
        await eventually(lambda: stage.world.flushes and stage.world.flushes[-1].run.waiting_for)
        await handle.signal("concurrency_free", SIGNED)
        await handle.result()
    assert [call.cancels_oldest for call in stage.world.asked] == [True, False]


async def test_asks_by_itself_when_no_notification_comes(skipping: Stage) -> None:
    skipping.world.frees = lambda _: len(skipping.world.asked) > 3
    async with skipping.worker():
        handle = await skipping.start(plan_of(step("a", 1)), slot=SLOT)
        assert (await handle.result()).status == "completed"
        state = await state_of(handle)
    assert state.started_at is not None
    assert state.completed_at is not None
    assert (state.completed_at - state.started_at).total_seconds() >= 90


async def test_stays_itself_when_it_goes_on_as_a_new_execution(stage: Stage) -> None:
    turns: list[bool] = []
    stage.world.frees = lambda _: bool(turns)
    async with stage.worker(workflow=ShortLivedRunWorkflow):
        handle = await stage.start(PLAN, slot=SLOT, parent=PARENT)
        await eventually(lambda: stage.world.asked)
        for _ in range(8):
            asked = len(stage.world.asked)
            await handle.signal("concurrency_free", SIGNED)
            await eventually(lambda asked=asked: len(stage.world.asked) > asked)
        turns.append(True)
        await handle.signal("concurrency_free", SIGNED)
        await eventually(lambda: is_waiting(stage))
        looks: list[ChildCall] = []
        stage.world.ends = lambda call: looks.append(call) or StepOutcome(status="ready")
        for _ in range(8):
            seen = len(looks)
            await handle.signal("child_ended", child_ended(handle, "c"))
            await eventually(lambda seen=seen: len(looks) > seen)
        stage.world.ends = lambda _: DONE
        with suppress(RPCError):  # where another look was on its way, the run is over by now
            await handle.signal("child_ended", child_ended(handle, "c"))
        latest = stage.client.get_workflow_handle(handle.id)
        await asyncio.wait_for(latest.result(), 20)
    assert len({flush.temporal_run_id for flush in stage.world.flushes}) >= 2
    assert len(stage.world.notified_parents) == len(stage.world.notified_next) == 1
    assert [call[1] for call in stage.world.calls if call[0] == "sub_playbook"] == ["c"]

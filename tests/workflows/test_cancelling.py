"""A run closes as Canceled whoever asks for it, starts nothing afterwards, and its rows agree."""

from __future__ import annotations

from datetime import timedelta

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError
from temporalio.exceptions import CancelledError

from playbooks.common.values import Verdict
from tests.support.plans import effect, human, plan_of, step
from tests.support.waiting import eventually
from tests.workflows.playing import Handle, Stage, state_of, update, vote

PLAN = plan_of(effect("a", 1), human("h", 2, after=("a",)), step("b", 3, after=("h",)))


async def closes_as_cancelled(handle: Handle) -> None:
    with pytest.raises(WorkflowFailureError) as failure:
        await handle.result()
    assert isinstance(failure.value.cause, CancelledError)
    assert (await handle.describe()).status == WorkflowExecutionStatus.CANCELED


async def test_starts_no_effect_when_the_cancel_comes_with_the_first_task(stage: Stage) -> None:
    handle = await stage.start(PLAN)
    await handle.signal("cancel_run", {"reason": "changed my mind"})
    async with stage.worker():
        await closes_as_cancelled(handle)
    assert stage.world.calls == []
    assert stage.world.flushes[-1].run.status == "cancelled"


async def test_closes_as_cancelled_when_temporal_cancels_before_the_first_task(stage: Stage) -> None:
    handle = await stage.start(PLAN)
    await handle.cancel()
    async with stage.worker():
        await closes_as_cancelled(handle)
    assert [call.run.status for call in stage.world.flushes] == ["cancelled"]
    assert stage.world.flushes[0].run.cancel_reason == "cancelled through Temporal"
    assert stage.world.cancels == []


async def test_closes_as_cancelled_when_temporal_cancels_a_waiting_run(stage: Stage) -> None:
    async with stage.worker():
        handle = await stage.start(PLAN)
        await eventually(lambda: stage.world.tasks)
        await handle.cancel()
        await closes_as_cancelled(handle)
    last = stage.world.flushes[-1]
    assert last.run.status == "cancelled"
    assert {line.key: line.status for line in last.steps}["h"] == "cancelled"
    assert stage.world.cancels == [], "Temporal knows already"


@pytest.mark.parametrize("is_update", [True, False])
async def test_closes_as_cancelled_when_a_message_asks_for_it(stage: Stage, is_update: bool) -> None:
    async with stage.worker():
        handle = await stage.start(PLAN)
        await eventually(lambda: stage.world.tasks)
        if is_update:
            assert (await update(handle, "cancel_run", {"reason": "no money"})).outcome == "accepted"
        else:
            await handle.signal("cancel_run", {"reason": "no money"})
        await closes_as_cancelled(handle)
        assert (await state_of(handle)).cancel_reason == "no money"
    assert [call.reason for call in stage.world.cancels] == ["no money"]
    assert stage.world.flushes[-1].run.status == "cancelled"


async def test_cancels_the_effect_in_flight_when_the_run_is_cancelled(stage: Stage) -> None:
    stage.world.gate("a")
    async with stage.worker(max_heartbeat_throttle_interval=timedelta(milliseconds=100)):
        handle = await stage.start(PLAN)
        await eventually(lambda: stage.world.calls)
        await update(handle, "cancel_run")
        await closes_as_cancelled(handle)
        await eventually(lambda: stage.world.cancelled == ["a"])


async def test_keeps_its_result_when_temporal_cancels_a_run_that_has_ended(stage: Stage) -> None:
    last_flush = stage.world.gate("flush:completed")
    async with stage.worker():
        handle = await stage.start(plan_of(step("a", 1)))
        await eventually(lambda: stage.world.flushes and stage.world.flushes[-1].run.status == "completed")
        await handle.cancel()
        last_flush.set()
        assert (await handle.result()).status == "completed"


async def test_ends_cancelled_when_the_row_was_cancelled_before_the_first_flush(stage: Stage) -> None:
    stage.world.row_status, stage.world.refuses_flushes = "cancelled", True
    async with stage.worker():
        handle = await stage.start(PLAN)
        await closes_as_cancelled(handle)
        assert (await state_of(handle)).cancel_reason == "the run was over before"


async def test_answers_every_message_that_arrives_while_it_is_being_cancelled(stage: Stage) -> None:
    last_flush = stage.world.gate("flush:cancelled")
    async with stage.worker():
        handle = await stage.start(PLAN)
        await eventually(lambda: stage.world.tasks)
        await update(handle, "cancel_run")
        late: list[Verdict] = [await update(handle, "decide", vote("h", "anna")), await update(handle, "cancel_run")]
        last_flush.set()
        await closes_as_cancelled(handle)
    assert [verdict.code for verdict in late] == ["TASK_CLOSED", "ALREADY_CANCELLED"]
    assert stage.world.event_kinds.count("decision_refused") == 1

"""The reconciler on a database of its own: stuck runs, missing runs, and the lock."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from temporalio import workflow
from temporalio.worker import Worker

from playbooks.common.ids import workflow_id
from playbooks.engine.model.temporal_messages import RunInput
from recovery import reconciler as reconciler_module
from recovery.doctor.examine import examine
from recovery.reconciler import Reconciler, reconcile_once
from runtime.start_run import start_run
from storage.runs import audit_trail
from storage.runs.audit_trail import is_intact
from tests.recovery.conftest import Place
from tests.support.waiting import eventually


@workflow.defn(name="PlaybookRun", sandboxed=False)
class BrokenRun:
    """Workflow of a worker with a bug: every workflow task fails."""

    @workflow.run
    async def run(self, _start: RunInput) -> None:
        raise KeyError("a bug")


@pytest.mark.soak
async def test_row_is_stuck_while_the_workflow_fails_and_not_after_the_fix(place: Place) -> None:
    start = await place.accept()
    async with Worker(place.client, task_queue=place.settings.task_queue, workflows=[BrokenRun]):
        await start_run(place.client, place.settings, start)

        async def stuck() -> str | None:
            await reconcile_once(place.reconciler)
            return await place.stuck(start)

        assert "WorkflowTaskFailed" in (await eventually(stuck, 60, every=1) or "")

    async def is_free() -> bool:
        return await place.stuck(start) is None

    async with place.worker():
        await eventually(is_free, 60)
    assert (await place.row(start)).status == "in_progress"
    await place.client.get_workflow_handle(workflow_id(place.organization_id, start.execution_id)).terminate()


async def test_run_is_cancelled_with_what_was_flushed_when_no_worker_can_replay_it(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recovery.closing_runs._QUERY_TIMEOUT", timedelta(seconds=1))
    start = await place.accept()
    handle = place.client.get_workflow_handle(workflow_id(place.organization_id, start.execution_id))
    async with place.worker():
        await start_run(place.client, place.settings, start)

        async def has_begun() -> bool:
            return (await place.row(start)).status != "queued"

        await eventually(has_begun)
    await handle.terminate()
    await eventually(lambda: reconcile_once(place.reconciler))
    row = await place.row(start)
    assert (row.status, row.cancel_reason) == ("cancelled", "its workflow was terminated in Temporal")
    assert "in_progress" not in row.step_statuses.values()
    assert "waiting" not in row.step_statuses.values()


@pytest.mark.parametrize("is_in_mid_task", [False, True])
async def test_rows_and_history_agree_when_the_workflow_was_terminated(place: Place, is_in_mid_task: bool) -> None:
    """Changes of an unfinished workflow task are in no history, and leave no gap in the trail."""
    later = {"name": "Pay", "step_number": 3, "step_type": "system", "worker_type": "data_processor", "config": {}}
    start = await place.accept(later)
    handle = place.client.get_workflow_handle(workflow_id(place.organization_id, start.execution_id))
    async with place.worker():
        await start_run(place.client, place.settings, start)

        async def is_waiting() -> bool:
            return "waiting" in (await place.row(start)).step_statuses.values()

        await eventually(is_waiting)
    if is_in_mid_task:
        # No worker takes this task; the replay does, and drops the flushes in it.
        await handle.signal("frobnicate", {})
    await handle.terminate()
    async with place.worker():
        await eventually(lambda: reconcile_once(place.reconciler))
    row = await place.row(start)
    assert (row.status, row.cancel_reason) == ("cancelled", "its workflow was terminated in Temporal")
    assert not {"waiting", "in_progress"} & set(row.step_statuses.values())
    async with place.database.reading(place.organization_id) as session:
        events = await audit_trail.list_events(session, start.execution_id)
    assert is_intact(start.execution_id, events)
    assert events[-1].kind == "run_cancelled"
    organizations, run = [place.organization_id], start.execution_id
    found = await examine(place.database, place.client, organizations=organizations, execution_id=run, older_than=0)
    assert found.differences == ()


async def test_run_is_left_to_the_sweeper_when_it_never_flushed(place: Place) -> None:
    start = await place.accept()
    for _ in range(3):
        await reconcile_once(place.reconciler)
        await asyncio.sleep(0.2)
    assert (await place.row(start)).status == "queued"


async def test_run_is_lost_only_after_it_was_missing_for_long_enough(place: Place) -> None:
    start = await place.flushed_run()
    assert await reconcile_once(place.reconciler) == 0
    assert (await place.row(start)).status == "in_progress"
    await asyncio.sleep(0.4)
    assert await reconcile_once(place.reconciler) == 1
    row = await place.row(start)
    assert (row.status, row.error.code if row.error else None) == ("failed", "RUN_LOST")
    assert await reconcile_once(place.reconciler) == 0


async def test_nothing_is_lost_at_once_when_temporal_knows_hardly_any_run(place: Place) -> None:
    started = [await place.flushed_run() for _ in range(12)]
    for _ in range(3):
        assert await reconcile_once(place.reconciler) == 0
        await asyncio.sleep(0.3)
    assert {(await place.row(start)).status for start in started} == {"in_progress"}


async def test_every_run_is_looked_at_when_there_are_more_than_a_round_takes(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciler_module, "RUNS_A_ROUND", 2)
    started = [await place.flushed_run() for _ in range(5)]
    ended = 0

    async def all_ended() -> bool:
        nonlocal ended
        ended += await reconcile_once(place.reconciler)
        return ended >= len(started)

    await eventually(all_ended)
    assert {(await place.row(start)).status for start in started} == {"failed"}


async def test_only_one_reconciler_works_when_there_are_two(place: Place) -> None:
    start = await place.flushed_run()
    other = Reconciler(context=place.reconciler.context, older_than=timedelta(0), missing_seconds=0)
    place.reconciler.missing_seconds = 0
    assert sum(await asyncio.gather(reconcile_once(place.reconciler), reconcile_once(other))) == 1
    assert (await place.row(start)).events.count == 2

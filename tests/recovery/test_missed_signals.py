"""Runs receive what they wait for from other runs, also when the signal was lost."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from temporalio.client import WorkflowHandle

from playbooks.common.ids import workflow_id
from playbooks.common.values import FINISHED_RUN
from playbooks.engine.model.temporal_messages import ConcurrencyLimit, RunInput
from recovery.missed_signals import SignalCooldown, resend_missed_signals
from recovery.reconciler import reconcile_once
from runtime.start_run import start_run
from storage.runs import run_rows, step_lines, unfinished_runs
from storage.runs.run_rows import RunRow
from storage.runs.unfinished_runs import UnfinishedRun
from tests.api.callers import document
from tests.recovery.conftest import Place, publish_into
from tests.support.waiting import eventually, holds

SLOT = ConcurrencyLimit(label="concurrency:refund:key", max_runs=1)


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lose every signal from one run to another."""

    async def lose(*_: Any, **__: Any) -> bool:
        return True

    monkeypatch.setattr("activities.children.signal_run", lose)
    monkeypatch.setattr("activities.concurrency.signal_run", lose)


async def started(place: Place, **fields: Any) -> RunInput:
    start = await place.accept(**fields)
    await start_run(place.client, place.settings, start)
    return start


async def parent_of(place: Place, child: Any) -> RunInput:
    """A run that has started `child`, a document, and waits for it."""
    await publish_into(place.database, place.organization_id, child)
    config = {"playbook": child["code"]}
    step = {"name": "Child", "step_number": 1, "step_type": "system", "worker_type": "sub_playbook", "config": config}
    plan = await publish_into(place.database, place.organization_id, document(steps=[step]))
    start = await started(place, plan=plan)
    await eventually(lambda: _waits(place, start))
    return start


async def _waits(place: Place, start: RunInput) -> bool:
    return "waiting" in (await place.row(start)).step_statuses.values()


async def child_row(place: Place, parent: RunInput) -> RunRow:
    async with place.database.reading(place.organization_id) as session:
        (line,) = await step_lines.list_steps(session, parent.execution_id)
        assert line.child is not None
        return await run_rows.get_run(session, line.child)


def handle_of(place: Place, execution_id: UUID) -> WorkflowHandle[Any, Any]:
    return place.client.get_workflow_handle(workflow_id(place.organization_id, execution_id))


async def unfinished(place: Place) -> tuple[UnfinishedRun, ...]:
    async with place.database.recovering() as session:
        return await unfinished_runs.find_unfinished(session, after=UUID(int=0), older_than=timedelta(0), limit=100)


async def resend(place: Place, cooldown: SignalCooldown | None = None) -> int:
    context, found = place.reconciler.context, await unfinished(place)
    return await resend_missed_signals(context, found, cooldown or SignalCooldown(), timedelta(0))


async def is_over(place: Place, start: RunInput) -> bool:
    return (await place.row(start)).status in FINISHED_RUN


@pytest.mark.usefixtures("silent")
async def test_a_parent_learns_of_its_childs_end_when_the_message_was_lost(place: Place) -> None:
    async with place.worker():
        parent = await parent_of(place, document())
        child = await child_row(place, parent)
        assert await resend(place) == 0
        await eventually(lambda: _waits_itself(place, child))
        await handle_of(place, child.execution_id).signal("cancel_run", {})
        await eventually(lambda: _is_row_over(place, child))
        await holds(lambda: _waits(place, parent), 0.5)
        cooldown = SignalCooldown()
        assert await resend(place, cooldown) == 1
        assert await resend(place, cooldown) == 0, "the same signal is not sent again and again"
        await eventually(lambda: is_over(place, parent))
    row = await place.row(parent)
    assert row.error is not None
    assert (row.status, row.error.code) == ("failed", "CHILD_CANCELLED")


async def _waits_itself(place: Place, row: RunRow) -> bool:
    async with place.database.reading(place.organization_id) as session:
        return "waiting" in (await run_rows.get_run(session, row.execution_id)).step_statuses.values()


async def _is_row_over(place: Place, row: RunRow) -> bool:
    async with place.database.reading(place.organization_id) as session:
        return (await run_rows.get_run(session, row.execution_id)).status in FINISHED_RUN


async def test_a_parent_learns_it_when_its_child_was_terminated(place: Place) -> None:
    async with place.worker():
        parent = await parent_of(place, document())
        child = await child_row(place, parent)
        await eventually(lambda: _waits_itself(place, child))
        await handle_of(place, child.execution_id).terminate()
        await eventually(lambda: _reconciled(place, parent))
    row = await place.row(parent)
    assert row.error is not None
    assert row.error.code == "CHILD_CANCELLED"


async def _reconciled(place: Place, start: RunInput) -> bool:
    await reconcile_once(place.reconciler)
    return await is_over(place, start)


async def test_a_child_is_cancelled_when_its_parent_was_terminated(place: Place) -> None:
    async with place.worker():
        parent = await parent_of(place, document())
        child = await child_row(place, parent)
        await eventually(lambda: _waits_itself(place, child))
        await handle_of(place, parent.execution_id).terminate()
        await eventually(lambda: _reconciled(place, replace(parent, execution_id=child.execution_id)))
    ended = await child_row(place, parent)
    assert (ended.status, ended.cancel_reason) == ("cancelled", "the run that started it and waited for it is over")


@pytest.mark.usefixtures("silent")
async def test_a_run_acquires_its_limit_when_the_signal_was_lost(place: Place) -> None:
    async with place.worker():
        first = await started(place, slot=SLOT)
        await eventually(lambda: _waits(place, first))
        second = await started(place, slot=SLOT)
        await eventually(lambda: _queues(place, second))
        assert await resend(place) == 0
        await handle_of(place, first.execution_id).signal("cancel_run", {})
        await eventually(lambda: is_over(place, first))
        await holds(lambda: _queues(place, second), 0.5)
        assert await resend(place) == 1
        await eventually(lambda: _waits(place, second))
        await handle_of(place, second.execution_id).terminate()


async def _queues(place: Place, start: RunInput) -> bool:
    return (await place.row(start)).waiting_for == "concurrency"

"""The start sweeper against real rows and a real Temporal."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from uuid import UUID

import pytest
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError

from cli.servers.ports import any_free_port
from playbooks.common.errors import ServiceUnavailableError
from playbooks.common.ids import workflow_id
from playbooks.engine.model.temporal_messages import RunInput
from recovery.context import RecoveryContext
from recovery.sweeper import run_sweeper, sweep_once
from runtime.background import Cooldown
from runtime.settings import Settings
from runtime.start_run import start_run
from runtime.temporal_client import connect
from storage.database.sealing import Sealer
from storage.database.sessions import Database
from storage.runs import unfinished_runs
from tests.recovery.conftest import ANNA, Accept
from tests.support.waiting import eventually

AT_ONCE = timedelta(0)


@pytest.fixture
async def client(settings: Settings) -> Client:
    return await connect(settings)


def id_of(run: RunInput) -> str:
    return workflow_id(run.organization_id, run.execution_id)


async def exists(client: Client, run: RunInput) -> bool:
    try:
        await client.get_workflow_handle(id_of(run)).describe()
    except RPCError:
        return False
    return True


async def test_a_run_has_one_workflow_when_it_is_started_many_times(
    client: Client, settings: Settings, accept: Accept, organization_id: UUID
) -> None:
    run = await accept(organization_id)
    await asyncio.gather(*(start_run(client, settings, run) for _ in range(5)))
    handle = client.get_workflow_handle(id_of(run))
    first = await handle.describe()
    assert first.status is WorkflowExecutionStatus.RUNNING
    await handle.terminate()
    await start_run(client, settings, run)
    assert (await handle.describe()).run_id == first.run_id


def context_of(database: Database, client: Client, settings: Settings) -> RecoveryContext:
    return RecoveryContext(database=database, client=client, settings=settings, sealer=Sealer(settings.key_ring))


async def test_a_run_is_started_when_its_row_stayed_queued(
    database: Database, client: Client, settings: Settings, accept: Accept, organization_id: UUID
) -> None:
    run = await accept(organization_id)
    context, resting = context_of(database, client, settings), Cooldown[UUID]()
    await sweep_once(context, resting)
    assert not await exists(client, run), "the API gets its chance first"
    await sweep_once(context, resting, older_than=AT_ONCE)
    assert await exists(client, run)
    assert run.execution_id in resting
    history = await client.get_workflow_handle(id_of(run)).fetch_history()
    payloads = history.events[0].workflow_execution_started_event_attributes.input.payloads
    (sent,) = await client.data_converter.decode(payloads, [RunInput])
    assert (sent.input, sent.tags, sent.priority, sent.plan) == (run.input, run.tags, run.priority, run.plan)
    await client.get_workflow_handle(id_of(run)).terminate()


async def test_a_run_is_left_alone_when_its_row_is_locked_or_cancelled(
    database: Database, client: Client, settings: Settings, accept: Accept, organization_id: UUID
) -> None:
    held, cancelled = await accept(organization_id), await accept(organization_id)
    async with database.writing(organization_id) as session:
        assert await unfinished_runs.cancel_queued(session, cancelled.execution_id, ANNA, "no")
    async with database.writing(organization_id) as session:
        assert await unfinished_runs.lock_queued(session, held.execution_id)
        await sweep_once(context_of(database, client, settings), Cooldown(), older_than=AT_ONCE)
        assert not await exists(client, held)
    assert not await exists(client, cancelled)


async def test_the_sweeper_goes_on_when_temporal_and_the_database_were_away(
    database: Database, settings: Settings, accept: Accept, organization_id: UUID
) -> None:
    run = await accept(organization_id)
    away = await connect(settings.model_copy(update={"temporal_address": f"127.0.0.1:{any_free_port()}"}))
    with suppress(ServiceUnavailableError):
        await sweep_once(context_of(database, away, settings), Cooldown(), older_than=AT_ONCE)
    nowhere = Database.connect(f"postgresql://playbook_service:x@127.0.0.1:{any_free_port()}/nosuch")
    sweeping = asyncio.create_task(run_sweeper(context_of(nowhere, away, settings)))
    await asyncio.sleep(1.5)
    assert not sweeping.done()
    sweeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sweeping
    client = await connect(settings)
    sweeping = asyncio.create_task(run_sweeper(context_of(database, client, settings)))
    await eventually(lambda: exists(client, run))
    sweeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sweeping
    await client.get_workflow_handle(id_of(run)).terminate()
    await nowhere.close()


async def test_a_start_reports_that_temporal_is_away(settings: Settings, accept: Accept, organization_id: UUID) -> None:
    run = await accept(organization_id)
    away = await connect(settings.model_copy(update={"temporal_address": f"127.0.0.1:{any_free_port()}"}))
    with pytest.raises(ServiceUnavailableError):
        await asyncio.wait_for(start_run(away, settings, run), 6)

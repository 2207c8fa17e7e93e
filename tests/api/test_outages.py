"""The API while Temporal or PostgreSQL is away: it answers 503 and loses no run that it accepted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID

import httpx2
import pytest

from api.app import create_app
from cli.servers.ports import any_free_port
from playbooks.common.ids import workflow_id
from recovery.context import RecoveryContext
from recovery.sweeper import sweep_once
from runtime.background import Cooldown
from runtime.settings import Settings
from runtime.temporal_client import connect
from storage.database.sealing import Sealer
from storage.database.sessions import Database
from tests.api.callers import Caller, Organization, client_of, document
from tests.api.test_request_guard import assert_problem
from tests.conftest import MakeOrganization


@asynccontextmanager
async def api_with(settings: Settings, **changes: object) -> AsyncGenerator[httpx2.AsyncClient]:
    app = create_app(settings.model_copy(update=changes))
    async with app.router.lifespan_context(app), client_of(app) as client:
        yield client


@pytest.fixture
async def without_temporal(settings: Settings) -> AsyncGenerator[httpx2.AsyncClient]:
    async with api_with(settings, temporal_address=f"127.0.0.1:{any_free_port()}") as client:
        yield client


async def queued_run(organization: Organization) -> tuple[Caller, str]:
    author = organization.caller("anna", admin=True)
    playbook_id = await author.published(document())
    answer = await author.post(f"/playbooks/{playbook_id}/execute", {"input_data": {"amount": 5, "iban": "DE00"}})
    assert answer.status_code == 202, answer.text
    assert answer.json()["data"]["status"] == "queued"
    assert answer.headers["retry-after"]
    return author, answer.json()["data"]["execution_id"]


async def test_a_run_is_accepted_and_started_later_when_temporal_was_away(
    without_temporal: httpx2.AsyncClient, new_organization: MakeOrganization, settings: Settings, database: Database
) -> None:
    organization_id = await new_organization("away")
    author, execution_id = await queued_run(Organization(organization_id, without_temporal))
    assert (await without_temporal.get("/readyz")).json() == {"status": "ready", "database": True, "temporal": False}
    assert (await author.get(f"/playbooks/runs/{execution_id}")).json()["data"]["status"] == "queued"
    client = await connect(settings)
    context = RecoveryContext(database=database, client=client, settings=settings, sealer=Sealer(settings.key_ring))
    resting = Cooldown[UUID]()
    # A round takes a hundred, the oldest first, and other tests of this process may have left more than that.
    while await sweep_once(context, resting, older_than=timedelta(0)):
        pass
    assert UUID(execution_id) in resting
    handle = client.get_workflow_handle(workflow_id(organization_id, UUID(execution_id)))
    assert (await handle.describe()).workflow_type == "PlaybookRun"
    await handle.terminate()


async def test_a_queued_run_is_cancelled_in_its_row_when_temporal_is_away(
    without_temporal: httpx2.AsyncClient, new_organization: MakeOrganization, settings: Settings, database: Database
) -> None:
    author, execution_id = await queued_run(Organization(await new_organization("away"), without_temporal))
    answer = await author.delete(f"/playbooks/runs/{execution_id}?reason=mistake")
    assert (answer.status_code, answer.json()["data"]["status"]) == (200, "cancelled"), answer.text
    assert answer.json()["data"]["cancel_reason"] == "mistake"
    trail = (await author.get(f"/playbooks/runs/{execution_id}/timeline")).json()["data"]
    assert [event["kind"] for event in trail] == ["run_queued", "run_cancelled"]
    assert_problem(await author.delete(f"/playbooks/runs/{execution_id}"), 409, "ALREADY_CANCELLED")
    resting = Cooldown[UUID]()
    context = RecoveryContext(
        database=database, client=await connect(settings), settings=settings, sealer=Sealer(settings.key_ring)
    )
    await sweep_once(context, resting, older_than=timedelta(0))
    assert UUID(execution_id) not in resting


async def test_a_verb_is_answered_with_503_when_temporal_is_away(
    without_temporal: httpx2.AsyncClient, new_organization: MakeOrganization
) -> None:
    author, execution_id = await queued_run(Organization(await new_organization("away"), without_temporal))
    answer = await asyncio.wait_for(author.put(f"/playbooks/runs/{execution_id}", {"action": "pause"}), 20)
    assert_problem(answer, 503, "SERVICE_UNAVAILABLE")
    assert answer.headers["retry-after"]


async def test_everything_but_the_probe_is_answered_with_503_when_the_database_is_away(
    settings: Settings, organization: Organization
) -> None:
    nowhere = f"postgresql+asyncpg://playbook_service:x@127.0.0.1:{any_free_port()}/nosuch"
    async with api_with(settings, database_url=nowhere) as client:
        caller = Organization(organization.id, client).caller("anna")
        for path in ("/playbooks", "/playbooks/runs", "/tasks"):
            answer = await caller.get(path)
            assert_problem(answer, 503, "SERVICE_UNAVAILABLE")
            assert answer.headers["retry-after"]
        assert_problem(await caller.post("/playbooks", document()), 503, "SERVICE_UNAVAILABLE")
        assert (await client.get("/livez")).status_code == 200
        assert (await client.get("/readyz")).status_code == 503


async def test_a_verb_is_answered_with_503_when_no_worker_answers(
    settings: Settings, new_organization: MakeOrganization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.temporal_client.VERDICT_TIMEOUT", timedelta(seconds=1))
    async with api_with(settings, task_queue="nobody-listens") as client:
        author = Organization(await new_organization("idle"), client).caller("anna", admin=True)
        execution_id = await author.started(await author.published(document()), amount=5)
        answer = await author.put(f"/playbooks/runs/{execution_id}", {"action": "pause"})
        assert_problem(answer, 503, "WORKER_UNAVAILABLE")
        cancelled = await author.delete(f"/playbooks/runs/{execution_id}")
        assert (cancelled.status_code, cancelled.json()["data"]["status"]) == (200, "cancelled"), cancelled.text

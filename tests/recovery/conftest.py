"""Rows of runs that were accepted and not started, and a database with the runs of one organization only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from temporalio.client import Client
from temporalio.worker import Worker

from activities.dependencies import ActivityDependencies
from cli.servers.postgres import PostgresServer
from cli.worker import build_worker
from playbooks.common.values import Actor
from playbooks.compiler.compile import compile_playbook
from playbooks.document.model import read_document
from playbooks.engine.machine import new_run
from playbooks.engine.model.plan import Plan
from playbooks.engine.model.temporal_messages import FlushCall, RunInput
from playbooks.engine.projection import flush_of
from recovery.context import RecoveryContext
from recovery.reconciler import Reconciler
from runtime.settings import Settings
from runtime.temporal_client import connect
from storage.database.sealing import Sealer
from storage.database.sessions import Database
from storage.identity.organizations import create_organization
from storage.playbooks import plans, transitions, version_rows, versions
from storage.runs import admission, run_rows
from storage.runs.projection import apply_flush
from storage.runs.run_rows import RunRow
from tests.api.callers import document
from tests.support import servers
from tests.support.databases import admin_database_url, database, database_url, settings

__all__ = ["admin_database_url", "database", "database_url", "settings"]

ANNA = Actor(id=UUID(int=7), name="Anna")
Accept = Callable[[UUID], Awaitable[RunInput]]


async def store_into(database: Database, organization_id: UUID, whole: Any) -> Plan:
    """Store a playbook, still a draft, and its plan."""
    written, playbook_id = read_document(whole), uuid4()
    plan = compile_playbook(written, playbook_id=playbook_id, version=1).plan
    assert isinstance(plan, Plan)
    async with database.writing(organization_id) as session:
        await versions.insert_version(session, playbook_id=playbook_id, document=written, version=1, actor=ANNA)
        await plans.store_plan(session, playbook_id, plan)
    return plan


async def publish_into(database: Database, organization_id: UUID, whole: Any) -> Plan:
    """Store a playbook as an active one, which steps may start."""
    plan = await store_into(database, organization_id, whole)
    async with database.writing(organization_id) as session:
        row = await version_rows.hold_version(session, plan.playbook_id)
        await transitions.transition(session, row, transitions.TransitionRequest(action="publish", actor=ANNA))
    return plan


async def accept_into(
    database: Database, settings: Settings, organization_id: UUID, *more_steps: Any, **fields: Any
) -> RunInput:
    """Insert a published playbook and a queued run of it, as the API does before it starts the workflow.

    `more_steps` come after its own two; `fields` are the run's.
    """
    whole = document()
    plan = fields.pop("plan", None)
    if plan is None:
        plan = await store_into(database, organization_id, {**whole, "steps": [*whole["steps"], *more_steps]})
    run_input = RunInput(
        organization_id=organization_id,
        execution_id=uuid4(),
        plan=plan,
        initiator=ANNA,
        input={"amount": 5, "iban": "DE00"},
        tags=("urgent",),
        priority="high",
        **fields,
    )
    async with database.writing(organization_id) as session:
        await admission.insert_run(session, admission.NewRun(input=run_input), Sealer(settings.key_ring))
    return run_input


@pytest.fixture
def accept(database: Database, settings: Settings) -> Accept:
    """`accept_into` the database that all tests share."""
    return lambda organization_id: accept_into(database, settings, organization_id)


class Place:
    """One organization's runs in a database without other organizations."""

    def __init__(self, database: Database, client: Client, settings: Settings, organization_id: UUID) -> None:
        self.database, self.client, self.settings = database, client, settings
        self.organization_id = organization_id
        self.sealer = Sealer(settings.key_ring)
        context = RecoveryContext(database=database, client=client, settings=settings, sealer=self.sealer)
        self.reconciler = Reconciler(context=context, older_than=timedelta(0), missing_seconds=0.3)

    async def accept(self, *more_steps: Any, **fields: Any) -> RunInput:
        return await accept_into(self.database, self.settings, self.organization_id, *more_steps, **fields)

    async def flushed_run(self) -> RunInput:
        """A run that has flushed, and of which Temporal knows nothing."""
        start = await self.accept()
        state = replace(new_run(start), status="in_progress", seq=1)
        call: FlushCall = flush_of(start.plan, state, flushed_seq=0, temporal_run_id="gone")
        async with self.database.writing(self.organization_id) as session:
            await apply_flush(session, call, start.plan, self.sealer)
        return start

    async def row(self, start: RunInput) -> RunRow:
        async with self.database.reading(self.organization_id) as session:
            return await run_rows.get_run(session, start.execution_id)

    async def stuck(self, start: RunInput) -> str | None:
        stuck = (await self.row(start)).stuck
        return None if stuck is None else stuck.reason

    def worker(self) -> Worker:
        dependencies = ActivityDependencies(
            database=self.database, settings=self.settings, sealer=self.sealer, client=self.client
        )
        return build_worker(self.client, self.settings, dependencies)


@pytest.fixture
async def place(postgres: PostgresServer, settings: Settings) -> AsyncGenerator[Place]:
    admin = await asyncio.to_thread(servers.migrated_database, postgres)
    organization = await create_organization(admin, code="alone", name="Alone")
    url = servers.service_url(postgres, admin)
    own = settings.model_copy(update={"database_url": url, "task_queue": f"queue-{organization.id}"})
    database = Database.connect(url)
    yield Place(database, await connect(own, is_lazy=False), own, organization.id)
    await asyncio.wait_for(database.close(), 20)

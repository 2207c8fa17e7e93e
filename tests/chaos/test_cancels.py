"""An operation is cancelled at each of its awaits: the rows are sound, no connection is lost, a repeat succeeds.

A pool of one connection shows the least leak: what comes after it would wait in vain.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, Protocol, cast
from uuid import UUID, uuid4

import pytest

from api.context import RequestContext
from api.http.security import Principal
from api.runs.schemas import ExecuteRequest
from api.runs.start import execute_playbook
from api.services import Services
from api.tasks.operations import update_task
from api.temporal_client import RunWorkflows
from playbooks.common import ids
from playbooks.common.errors import NotFoundError
from playbooks.common.ids import derived_execution_id
from playbooks.common.values import Actor, Verdict
from playbooks.engine.model.control_messages import Action, Decide
from playbooks.engine.model.state import TaskState, Vote
from playbooks.engine.model.temporal_messages import FlushCall, RunInput, TaskCall
from runtime.settings import Settings
from runtime.tokens import TokenVerifier
from storage.database.sessions import Database
from storage.playbooks.cache import VersionCache
from storage.runs.audit_trail import is_intact, list_events
from storage.runs.projection import apply_flush
from storage.runs.run_rows import RunRow, get_run
from storage.runs.step_lines import list_steps
from storage.runs.tasks import open_task
from storage.runs.unfinished_runs import cancel_queued
from tests.chaos.cutting import When, cut
from tests.storage.samples import ANNA, BEN, SEALER, T0, Sample, document, event, published, step

SOON = 5.0
"""Seconds within which a repeat must be through; a lock or a connection that is kept would make it wait longer."""


@dataclass
class RecordedCalls:
    """Records starts and updates instead of Temporal, and answers a moment later."""

    started: list[UUID] = field(default_factory=list[UUID])
    updates: dict[str | None, Actor] = field(default_factory=dict[str | None, Actor])

    async def start(self, run_input: RunInput) -> None:
        self.started.append(run_input.execution_id)
        await asyncio.sleep(0)

    async def update(
        self, organization_id: UUID, execution_id: UUID, action: Action, actor: Actor, *, update_id: str
    ) -> Verdict:
        self.updates[update_id] = actor
        await asyncio.sleep(0)
        return Verdict(outcome="accepted")


class Operation(Protocol):
    """One operation on something fresh: do it, look at the rows, look again once it was repeated."""

    async def prepare(self) -> None: ...
    async def do(self) -> None: ...
    async def look(self, *, is_done: bool) -> None: ...


@dataclass
class World:
    """An organization with a playbook, seen through one single connection."""

    sample: Sample
    services: Services
    runs: RecordedCalls

    @property
    def database(self) -> Database:
        return self.services.database

    def principal(self, actor: Actor) -> Principal:
        return Principal(
            organization_id=self.sample.organization_id, actor=actor, subject=actor.name or "", permissions=frozenset()
        )

    async def whole_run(self, run: UUID) -> RunRow | None:
        """The run's row, whose trail holds; None where there is none."""
        async with self.database.reading(self.sample.organization_id) as session:
            try:
                row = await get_run(session, run)
            except NotFoundError:
                assert await list_steps(session, run) == ()
                return None
            events = await list_events(session, run)
        assert events
        assert is_intact(run, events)
        return row


@dataclass
class Starting:
    world: World
    key: str = ""

    @property
    def run(self) -> UUID:
        organization, playbook = self.world.sample.organization_id, self.world.sample.playbook_id
        return derived_execution_id(organization, f"POST /playbooks/{playbook}/execute", self.key)

    async def prepare(self) -> None:
        self.key = uuid4().hex
        self.world.runs.started.clear()

    async def do(self) -> None:
        request = ExecuteRequest(input_data={"secret": "s3cret"})
        # A cold cache each time: the read of the version is one more place to be cancelled at.
        services = replace(self.world.services, versions=VersionCache())
        context = RequestContext(services=services, principal=self.world.principal(ANNA))
        started = await execute_playbook(context, self.world.sample.playbook_id, request, self.key)
        assert started.row.execution_id == self.run
        assert started.is_started

    async def look(self, *, is_done: bool) -> None:
        row = await self.world.whole_run(self.run)
        assert row is not None or not self.world.runs.started, "started before it was committed"
        if is_done:
            assert row is not None
            assert row.status == "queued"
            assert set(self.world.runs.started) == {self.run}
            async with self.world.database.writing(self.world.sample.organization_id) as session:
                assert await cancel_queued(session, self.run, ANNA, None), "or sweepers of other tests would find it"


@dataclass
class Flushing:
    world: World
    call: FlushCall | None = None

    async def prepare(self) -> None:
        run = (await self.world.sample.insert()).row.execution_id
        steps = (step("register", 1), step("check", 2))
        self.call = self.world.sample.flush(run, 2, *steps, events=(event(2), event(3)))

    async def do(self) -> None:
        assert self.call is not None
        async with self.world.database.writing(self.world.sample.organization_id) as session:
            await apply_flush(session, self.call, self.world.sample.plan, SEALER)

    async def look(self, *, is_done: bool) -> None:
        assert self.call is not None
        row = await self.world.whole_run(self.call.execution_id)
        assert row is not None
        async with self.world.database.reading(self.world.sample.organization_id) as session:
            steps = await list_steps(session, self.call.execution_id)
            events = await list_events(session, self.call.execution_id)
        stored = (row.seq, row.status, len(steps), len(events))
        whole = (2, "in_progress", 2, 3)
        assert stored == whole if is_done else stored in {whole, (0, "queued", 0, 1)}


@dataclass
class Deciding:
    """The run has the vote already, so that the operation ends with the first look at the row."""

    world: World
    run: UUID | None = None

    async def prepare(self) -> None:
        self.world.runs.updates.clear()
        self.run = (await self.world.sample.insert()).row.execution_id
        task = TaskState(id=ids.task_id(self.run, "register", 1), opened_at=T0, roles=("clerk",))
        waiting = step("register", 1, status="waiting", completed_at=None, output=None, task=task)
        voted = replace(waiting, seq=2, task=replace(task, votes=(Vote(actor=BEN, choice="approve", at=T0),)))
        sample = self.world.sample
        call = TaskCall(
            organization_id=sample.organization_id,
            execution_id=self.run,
            playbook_id=sample.playbook_id,
            seq=1,
            step=waiting,
        )
        async with sample.database.writing(sample.organization_id) as session:
            await open_task(session, call, sample.plan, document(), SEALER)
            await apply_flush(session, sample.flush(self.run, 2, voted), sample.plan, SEALER)

    async def do(self) -> None:
        assert self.run is not None
        task = ids.task_id(self.run, "register", 1)
        services = replace(self.world.services, versions=VersionCache())
        context = RequestContext(services=services, principal=self.world.principal(BEN))
        updated = await update_task(context, task, Decide(decision="approve"), "key")
        assert updated.verdict.outcome == "accepted"

    async def look(self, *, is_done: bool) -> None:
        assert self.run is not None
        assert await self.world.whole_run(self.run) is not None
        assert set(self.world.runs.updates.values()) <= {BEN}
        assert len(self.world.runs.updates) <= 1, "a repeat is the same message"
        assert self.world.runs.updates or not is_done


OPERATIONS: dict[str, type[Any]] = {"start_run": Starting, "apply_flush": Flushing, "decide": Deciding}


@pytest.fixture
async def world(
    database: Database, database_url: str, settings: Settings, organization_id: UUID
) -> AsyncGenerator[World]:
    listening = RecordedCalls()
    narrow = Database.connect(database_url, pool_size=1)
    services = Services(
        settings=settings,
        database=narrow,
        workflows=cast("RunWorkflows", listening),
        sealer=SEALER,
        tokens=TokenVerifier(settings),
    )
    yield World(await published(database, organization_id), services, listening)
    await asyncio.wait_for(narrow.close(), SOON)


@pytest.mark.parametrize("when", ["while it waits", "when its answer is there"])
@pytest.mark.parametrize("name", OPERATIONS)
async def test_rows_are_sound_and_a_repeat_succeeds_when_an_operation_is_cancelled_at_any_await(
    world: World, name: str, when: When
) -> None:
    operation: Operation = OPERATIONS[name](world)
    cuts = 0
    for at in count(1):
        await operation.prepare()
        was_cut = await cut(operation.do, at, when)
        async with asyncio.timeout(SOON):
            await operation.look(is_done=not was_cut)
            if not was_cut:
                break
            await operation.do()
            await operation.look(is_done=True)
        cuts += 1
    print(f"{name} cancelled {when}: {cuts} places")
    assert cuts >= 8, "an operation on the database has many awaits"

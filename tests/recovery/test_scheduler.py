"""Scheduled transitions: on real rows, with several schedulers, and with Temporal away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select, update
from temporalio.client import Client

from cli.servers.ports import any_free_port
from playbooks.common.values import JsonObject
from playbooks.document.model import read_document
from playbooks.lifecycle.transitions import Action, PlaybookStatus
from publication.run_cancellation import CancelContext, cancel_runs
from publication.scheduler import Scheduler, run_scheduler, schedule_once
from publication.transitions import perform, perform_due
from runtime.settings import Settings
from runtime.start_run import start_run
from runtime.temporal_client import connect
from storage.database.sessions import Database
from storage.database.tables import transactions
from storage.playbooks import plans, transitions, version_rows, versions
from storage.playbooks.transitions import TransitionRequest, TransitionRow, find_unfinished_transitions
from storage.runs import run_rows, unfinished_runs
from tests.api.callers import document
from tests.conftest import MakeOrganization
from tests.recovery.conftest import ANNA, Accept
from tests.recovery.test_sweeper import exists, id_of
from tests.support.waiting import eventually

NOW = timedelta(0)
LATER = timedelta(hours=1)
"""For a transition that a test performs itself, so that no other test's scheduler takes it."""


@dataclass(slots=True)
class World:
    """One organization with a draft, and what is scheduled for it."""

    database: Database
    organization_id: UUID
    playbook_id: UUID = field(default_factory=uuid4)

    async def drafted(self, **changes: Any) -> World:
        written = read_document(document(**changes))
        async with self.database.writing(self.organization_id) as session:
            await versions.insert_version(
                session, playbook_id=self.playbook_id, document=written, version=1, actor=ANNA
            )
        return self

    async def schedule(
        self,
        action: Action,
        *,
        due: timedelta = timedelta(seconds=-1),
        from_status: PlaybookStatus = "draft",
        notification: JsonObject | None = None,
        **asked: Any,
    ) -> UUID:
        """A scheduled transition, as the API stores it; by default it is due already."""
        request = TransitionRequest(
            action=action,
            actor=ANNA,
            reason="planned",
            effective_date=datetime.now(UTC) + due,
            notification=notification,
            **asked,
        )
        async with self.database.writing(self.organization_id) as session:
            row = await version_rows.hold_version(session, self.playbook_id)
            stored = await transitions.schedule(session, row, request, from_status=from_status)
        return stored.id

    async def is_at_rest(self) -> bool:
        """True when its last transition is completed."""
        return [each.status for each in await self.history()][-1:] == ["completed"]

    async def history(self) -> tuple[TransitionRow, ...]:
        async with self.database.reading(self.organization_id) as session:
            return await transitions.list_transitions(session, self.playbook_id)

    async def status(self) -> str:
        async with self.database.reading(self.organization_id) as session:
            return (await version_rows.get_version(session, self.playbook_id)).status

    async def notified(self) -> list[JsonObject]:
        async with self.database.reading(self.organization_id) as session:
            statement = select(transactions.c.metadata).where(
                transactions.c.transaction_type == "PLAYBOOK_NOTIFICATION",
                transactions.c.target_entity_id == self.playbook_id,
            )
            return list((await session.connection.execute(statement)).scalars())

    async def run_status(self, execution_id: UUID) -> str:
        async with self.database.reading(self.organization_id) as session:
            return (await run_rows.get_run(session, execution_id)).status


@pytest.fixture
async def client(settings: Settings) -> Client:
    return await connect(settings)


@pytest.fixture
async def away(settings: Settings) -> Client:
    return await connect(settings.model_copy(update={"temporal_address": f"127.0.0.1:{any_free_port()}"}))


@pytest.fixture
async def world(database: Database, organization_id: UUID) -> World:
    return await World(database, organization_id).drafted()


def scheduler_of(database: Database, client: Client, settings: Settings) -> Scheduler:
    context = CancelContext(database=database, client=client, settings=settings)
    return Scheduler(context=context, handlers={}, older_than=NOW)


@asynccontextmanager
async def another_process(database_url: str, client: Client, settings: Settings) -> AsyncGenerator[Scheduler]:
    """A scheduler with connections of its own."""
    database = Database.connect(database_url)
    try:
        yield scheduler_of(database, client, settings)
    finally:
        await database.close()


# -- when it is due --------------------------------------------------------------------------------------------------


async def test_a_due_transition_happens_once_when_several_schedulers_look_at_once(
    world: World, database_url: str, client: Client, settings: Settings
) -> None:
    identity = await world.schedule("publish", notification={"notify_users": True})
    async with (
        another_process(database_url, client, settings) as first,
        another_process(database_url, client, settings) as second,
    ):
        await asyncio.gather(*(schedule_once(each) for each in (first, second) for _ in range(3)))
    (recorded,) = await world.history()
    assert (recorded.id, recorded.status, recorded.to_status) == (identity, "completed", "active")
    assert (recorded.actor, recorded.reason) == (ANNA, "planned")
    assert recorded.effective_date is not None
    assert recorded.effective_date < recorded.at
    assert len(await world.notified()) == 1
    async with world.database.reading(world.organization_id) as session:
        row = await version_rows.get_version(session, world.playbook_id)
        assert (row.status, row.revision) == ("active", 2)
        assert (await plans.get_plan(session, world.playbook_id)).playbook_id == world.playbook_id


async def test_one_of_two_does_it_when_both_try_the_same_transition(world: World, database_url: str) -> None:
    identity = await world.schedule("publish", due=LATER)
    other = Database.connect(database_url)
    both = (world.database, other)
    done = await asyncio.gather(*(perform_due(each, {}, world.organization_id, identity) for each in both))
    await other.close()
    assert sorted(done) == [False, True]
    assert len(await world.history()) == 1


async def test_a_schedule_is_kept_when_the_process_that_took_it_is_gone(
    organization_id: UUID, database_url: str, client: Client, settings: Settings
) -> None:
    gone = Database.connect(database_url)
    world = await World(gone, organization_id).drafted()
    await world.schedule("publish", due=timedelta(seconds=3))
    await gone.close()
    async with another_process(database_url, client, settings) as later:
        world.database = later.context.database
        await schedule_once(later)
        assert await world.status() == "draft", "it is not due yet"
        working = asyncio.create_task(run_scheduler(later))
        await eventually(world.is_at_rest)
        assert await world.status() == "active"
        working.cancel()
        await asyncio.wait([working])


async def test_overdue_transitions_happen_in_their_order(world: World, client: Client, settings: Settings) -> None:
    first = await world.schedule("publish", due=timedelta(seconds=-5))
    later = await world.schedule("deprecate", due=timedelta(seconds=-1), from_status="active")
    await schedule_once(scheduler_of(world.database, client, settings))
    assert [each.id for each in await world.history()] == [first, later]
    assert await world.status() == "deprecated"


async def test_a_transition_is_left_alone_when_another_one_comes_before_it(world: World) -> None:
    second = await world.schedule("deprecate", due=2 * LATER, from_status="active")
    first = await world.schedule("publish", due=LATER)
    done = [await perform_due(world.database, {}, world.organization_id, each) for each in (second, first, second)]
    assert done == [False, True, True]


async def test_every_due_transition_happens_when_organizations_are_many(
    database: Database, new_organization: MakeOrganization, client: Client, settings: Settings
) -> None:
    worlds = [await World(database, await new_organization("many")).drafted() for _ in range(3)]
    for world in worlds:
        await world.schedule("publish")
    await schedule_once(scheduler_of(database, client, settings))
    assert [await world.status() for world in worlds] == ["active"] * 3


async def test_nothing_happens_when_a_schedule_was_cancelled(world: World) -> None:
    identity = await world.schedule("publish", due=LATER)
    async with world.database.writing(world.organization_id) as session:
        found = await transitions.get_transition(session, world.playbook_id, identity)
        assert await transitions.settle(session, found, status="cancelled")
        assert not await transitions.settle(session, found, status="completed"), "what ended does not change"
    assert await perform_due(world.database, {}, world.organization_id, identity) is False
    assert await world.status() == "draft"


async def test_nothing_is_found_when_the_organization_is_another(
    world: World, new_organization: MakeOrganization
) -> None:
    identity = await world.schedule("publish", due=LATER)
    assert await perform_due(world.database, {}, await new_organization("other"), identity) is False
    assert await world.status() == "draft"


# -- what is wrong by then -------------------------------------------------------------------------------------------


async def test_a_refusal_is_recorded_and_sent_when_the_playbook_no_longer_compiles(
    database: Database, organization_id: UUID
) -> None:
    # Its handler was installed when it was scheduled.
    written = document()
    written["steps"][0] |= {"worker_type": "acme_handler", "config": {}}
    world = await World(database, organization_id).drafted(steps=written["steps"])
    identity = await world.schedule("publish", due=LATER)
    assert await perform_due(database, {}, organization_id, identity) is False
    (recorded,) = await world.history()
    assert (recorded.status, await world.status()) == ("failed", "draft")
    assert recorded.details["error"] == {"code": "VALIDATION_FAILED", "detail": recorded.details["error"]["detail"]}  # type: ignore[index, call-overload]
    problems = recorded.details["problems"]
    assert isinstance(problems, list)
    assert [each["pointer"] for each in problems if isinstance(each, dict)] == ["/steps/0/worker_type"]
    (notification,) = await world.notified()
    assert notification["kind"] == "playbook_transition_failed"
    assert await perform_due(database, {}, organization_id, identity) is False
    assert len(await world.notified()) == 1


async def test_a_publication_is_refused_when_the_draft_is_not_the_one_that_was_scheduled(world: World) -> None:
    identity = await world.schedule("publish", due=LATER)
    async with world.database.writing(world.organization_id) as session:
        row = await version_rows.get_version(session, world.playbook_id)
        changed = read_document({**row.document, "name": "Changed"})
        await versions.replace_document(session, world.playbook_id, document=changed, revision=1, actor=ANNA)
    assert await perform_due(world.database, {}, world.organization_id, identity) is False
    (recorded,) = await world.history()
    (problem,) = recorded.details["problems"]  # type: ignore[misc]
    assert isinstance(problem, dict)
    assert problem["code"] == "CHANGED_SINCE_SCHEDULED"
    assert await world.status() == "draft"


async def test_a_refusal_is_recorded_when_the_version_has_moved_meanwhile(world: World) -> None:
    identity = await world.schedule("deprecate", due=LATER, from_status="active")
    assert await perform_due(world.database, {}, world.organization_id, identity) is False
    (recorded,) = await world.history()
    assert recorded.status == "failed"
    assert recorded.details["error"]["code"] == "INVALID_STATE_TRANSITION"  # type: ignore[index, call-overload]


async def test_the_others_happen_when_one_cannot_even_be_read(
    world: World, database: Database, new_organization: MakeOrganization, client: Client, settings: Settings
) -> None:
    spoiled = await world.schedule("publish", due=timedelta(seconds=-60))
    async with database.writing(world.organization_id) as session:
        without_actor = transactions.c.metadata.concat({"actor": None})
        await session.connection.execute(
            update(transactions).where(transactions.c.id == spoiled).values(metadata=without_actor)
        )
    other = await World(database, await new_organization("other")).drafted()
    await other.schedule("publish")
    scheduler = scheduler_of(database, client, settings)
    await schedule_once(scheduler)
    assert (await other.status(), await world.status()) == ("active", "draft")
    assert spoiled in scheduler.cooldown


# -- runs that are cancelled -----------------------------------------------------------------------------------------


async def archived(database: Database, organization_id: UUID, playbook_id: UUID) -> UUID:
    """Archive the version as the API does before it signals any run."""
    request = TransitionRequest(action="archive", actor=ANNA, reason="old", cancels_runs=True)
    async with database.writing(organization_id) as session:
        row = await version_rows.hold_version(session, playbook_id)
        if row.status == "draft":
            row, _ = await transitions.transition(session, row, TransitionRequest(action="publish", actor=ANNA))
        done = await perform(session, {}, row, request)
    assert done.transition.status == "in_progress"
    return done.transition.id


async def test_queued_runs_are_cancelled_in_their_rows_when_temporal_is_away(
    database: Database, settings: Settings, accept: Accept, organization_id: UUID, away: Client
) -> None:
    run = await accept(organization_id)
    identity = await archived(database, organization_id, run.plan.playbook_id)
    context = CancelContext(database=database, client=away, settings=settings)
    counts = await cancel_runs(context, organization_id, identity)
    assert (counts.cancelled, counts.asked, counts.pending) == (1, 0, 0)
    world = World(database, organization_id, run.plan.playbook_id)
    assert await world.run_status(run.execution_id) == "cancelled"
    assert (await world.history())[-1].status == "completed"


async def test_started_runs_are_notified_later_when_temporal_was_away(
    database: Database, client: Client, settings: Settings, accept: Accept, organization_id: UUID, away: Client
) -> None:
    run = await accept(organization_id)
    # No worker takes it: its signals stay in its history.
    await start_run(client, settings.model_copy(update={"task_queue": f"nobody-{uuid4()}"}), run)
    await _spoke(database, organization_id, run.execution_id)
    identity = await archived(database, organization_id, run.plan.playbook_id)
    counts = await cancel_runs(
        CancelContext(database=database, client=away, settings=settings), organization_id, identity
    )
    assert (counts.cancelled, counts.asked, counts.pending) == (0, 0, 1)
    async with database.recovering() as session:
        found = await find_unfinished_transitions(session, older_than=NOW, limit=1000)
    assert (organization_id, identity, False) in [(each.organization_id, each.id, each.is_due) for each in found]
    scheduler = scheduler_of(database, client, settings)
    await schedule_once(scheduler)
    assert await _signals(client, id_of(run)) == 1
    # Another process sends the signal again: Temporal drops the repeat.
    await schedule_once(scheduler_of(database, client, settings))
    assert await _signals(client, id_of(run)) == 1
    world = World(database, organization_id, run.plan.playbook_id)
    assert (await world.history())[-1].status == "in_progress"
    await client.get_workflow_handle(id_of(run)).terminate()


async def test_a_transition_is_completed_when_the_last_of_its_runs_is_over(
    database: Database, client: Client, settings: Settings, accept: Accept, organization_id: UUID
) -> None:
    run = await accept(organization_id)
    identity = await archived(database, organization_id, run.plan.playbook_id)
    async with database.writing(organization_id) as session:
        assert await unfinished_runs.cancel_queued(session, run.execution_id, ANNA, "by hand")
    await schedule_once(scheduler_of(database, client, settings))
    world = World(database, organization_id, run.plan.playbook_id)
    (recorded,) = [each for each in await world.history() if each.id == identity]
    assert recorded.status == "completed"
    assert not await exists(client, run)


async def test_a_scheduled_archiving_cancels_or_is_refused_when_runs_are_live(
    database: Database, client: Client, settings: Settings, accept: Accept, organization_id: UUID
) -> None:
    run = await accept(organization_id)
    world = World(database, organization_id, run.plan.playbook_id)
    async with database.writing(organization_id) as session:
        row = await version_rows.hold_version(session, world.playbook_id)
        await transitions.transition(session, row, TransitionRequest(action="publish", actor=ANNA))
    refused = await world.schedule("archive", from_status="active", due=timedelta(seconds=-9))
    assert await perform_due(database, {}, organization_id, refused) is False
    assert [each.status for each in await world.history()] == ["completed", "failed"]
    await world.schedule("archive", from_status="active", cancels_runs=True)
    await schedule_once(scheduler_of(database, client, settings))
    await eventually(world.is_at_rest)
    assert (await world.status(), await world.run_status(run.execution_id)) == ("deleted", "cancelled")


async def _spoke(database: Database, organization_id: UUID, execution_id: UUID) -> None:
    """The row as the workflow's first flush leaves it."""
    async with database.writing(organization_id) as session:
        statement = update(transactions).where(transactions.c.id == execution_id)
        await session.connection.execute(statement.values(transaction_status="in_progress", version=1))


async def _signals(client: Client, workflow: str) -> int:
    history = await client.get_workflow_handle(workflow).fetch_history()
    return sum(event.HasField("workflow_execution_signaled_event_attributes") for event in history.events)

"""Every activity under its name, as a worker runs it: results and failures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from importlib.metadata import EntryPoint
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, select
from temporalio import activity
from temporalio.api.enums.v1 import EventType
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.handler import HandlerCall, HandlerResult
from activities.plugins import installed_handlers
from activities.registry import build_activities, build_handlers
from playbooks.common.ids import task_id, workflow_id
from playbooks.common.values import JsonObject, PayloadRef
from playbooks.document.handler_catalog import HandlerDescription
from playbooks.engine.model.activity_names import ActivityName
from playbooks.engine.model.state import AuditEvent, StepState, TaskState
from playbooks.engine.model.temporal_messages import (
    CancelCall,
    FlushCall,
    NotificationCall,
    OutputCall,
    RunProjection,
    StepOutcome,
    TaskCall,
)
from runtime import worker_packages
from runtime.settings import Settings
from runtime.temporal_client import connect
from runtime.worker_packages import GROUP, WorkerPackageError, installed_descriptions
from storage.database.sessions import Database
from storage.database.tables import entities, lines, transactions
from storage.playbooks.cache import VersionCache
from storage.runs import run_rows
from tests.activities.test_execution import AWAY
from tests.activities.world import World, make_world, step

NOW = datetime(2026, 11, 2, 9, tzinfo=UTC)
VOTE = {
    "name": "Vote",
    "step_number": 2,
    "step_type": "human",
    "worker_type": "voter",
    "required_roles": ["member"],
    "output_contract": {"type": "object", "properties": {"score": {"type": "number"}}},
}


@pytest.fixture
async def world(database: Database, organization_id: UUID) -> World:
    notify = step("Notify", 3, "notification_sender", config={"message": "Hello ${input.name}", "channels": ["email"]})
    return await make_world(database, organization_id, [step("A", 1, "data_processor"), VOTE, notify])


def named(world: World) -> dict[str, Callable[..., Any]]:
    found = {}
    for function in build_activities(world.deps, {}):
        definition = activity._Definition.from_callable(function)
        assert definition is not None
        found[definition.name] = function
    return found


async def perform(world: World, name: str, *arguments: Any) -> Any:
    return await ActivityEnvironment().run(named(world)[name], *arguments)


def away(world: World) -> World:
    return replace(world, deps=replace(world.deps, database=Database.connect(AWAY), versions=VersionCache()))


async def count(world: World, query: Any) -> int:
    async with world.deps.database.reading(world.organization_id) as session:
        return (await session.connection.execute(query)).scalar_one()


async def test_worker_has_every_activity_when_built(world: World) -> None:
    assert sorted(named(world)) == [
        "acquire_concurrency",
        "ai",
        "announce_task",
        "cancel_child",
        "check_message",
        "collect_items",
        "data_processor",
        "data_validator",
        "evaluate_loop",
        "flush",
        "http_request",
        "make_output",
        "notification_sender",
        "notify_next",
        "notify_parent",
        "prepare_step",
        "read_child",
        "record_notification",
        "request_cancel",
        "rules_engine",
        "sub_playbook",
    ]


async def test_lane_answers_when_a_pure_step_fails(world: World) -> None:
    outcome: StepOutcome = await perform(world, "data_processor", world.call("a", {"input": [1]}))
    assert outcome.status == "failed"
    effect: StepOutcome = await perform(world, "data_processor", world.call("notify", {"input": {"name": "Ann"}}))
    assert effect.error is not None and effect.error.code == "UNKNOWN_HANDLER"


async def test_effect_raises_its_kind_when_it_fails(world: World) -> None:
    with pytest.raises(ApplicationError) as caught:
        await perform(world, "notification_sender", world.call("notify", {"input": {}}))
    assert (caught.value.type, caught.value.non_retryable) == ("validation", True)
    outcome = caught.value.details[0]
    assert isinstance(outcome, StepOutcome)
    assert outcome.error is not None and outcome.error.pointer == "/input/name"


async def test_failure_carries_no_reference_when_the_input_is_large(world: World) -> None:
    call = world.call("notify", {"input": {"text": "x" * 70_000}})
    with pytest.raises(ApplicationError) as caught:
        await perform(world, "notification_sender", call)
    assert caught.value.details[0].input is None


async def test_notification_is_kept_once_when_its_step_is_repeated(world: World) -> None:
    call = world.call("notify", {"input": {"name": "Ann"}})
    for attempt in (1, 2):
        outcome = await perform(world, "notification_sender", replace(call, attempt=attempt))
        assert outcome.output["status"] == "undelivered"
    query = select(transactions.c.transaction_status, transactions.c.metadata).where(
        transactions.c.transaction_type == "PLAYBOOK_NOTIFICATION", transactions.c.target_entity_id == world.playbook_id
    )
    async with world.deps.database.reading(world.organization_id) as session:
        (row,) = (await session.connection.execute(query)).all()
    assert row[0] == "undelivered"
    assert row[1]["data"]["message"] == "Hello Ann"
    assert row[1]["data"]["channels"] == ["email"]


async def test_activities_are_retryable_when_the_database_is_away(world: World) -> None:
    broken = away(world)
    calls: dict[str, Any] = {
        "prepare_step": world.call("a", {"input": {}}),
        "make_output": output_call(world, {}),
        "flush": flush_call(world),
        "announce_task": task_call(world),
        "record_notification": notification_call(world),
    }
    for name, call in calls.items():
        with pytest.raises(ApplicationError) as caught:
            await perform(broken, name, call)
        assert not caught.value.non_retryable, name
    with pytest.raises(ApplicationError) as caught:
        await perform(broken, "notification_sender", world.call("notify", {"input": {"name": "Ann"}}))
    assert caught.value.details[0].error.code == "NOT_STARTED"
    cached = replace(broken, deps=replace(broken.deps, versions=world.deps.versions))
    with pytest.raises(ApplicationError) as caught:
        await perform(cached, "notification_sender", world.call("notify", {"input": {"name": "Ann"}}))
    assert caught.value.details[0].error.code == "NOT_STARTED", "its effect is a row of ours, and safe to repeat"
    await broken.deps.database.close()


def output_call(world: World, context: JsonObject, **fields: Any) -> OutputCall:
    return OutputCall(
        organization_id=world.organization_id,
        execution_id=world.execution_id,
        playbook_id=world.playbook_id,
        context=context,
        **fields,
    )


def flush_call(world: World, **fields: Any) -> FlushCall:
    run = RunProjection(
        status="in_progress",
        priority="normal",
        cost=Decimal(0),
        total_steps=3,
        started_at=NOW,
        completed_at=None,
        current_step="a",
    )
    values: dict[str, Any] = {
        "temporal_run_id": "first",
        "seq": 3,
        "run": run,
        "steps": (StepState(key="a", seq=3, status="in_progress", started_at=NOW),),
        "events": (AuditEvent(number=2, at=NOW, kind="run_started"),),
    }
    return FlushCall(
        organization_id=world.organization_id,
        execution_id=world.execution_id,
        playbook_id=world.playbook_id,
        **{**values, **fields},
    )


def task_call(world: World) -> TaskCall:
    task = TaskState(id=task_id(world.execution_id, "vote", 1), opened_at=NOW, roles=("member",))
    state = StepState(key="vote", seq=4, status="waiting", started_at=NOW, input={"a": 1}, task=task)
    return TaskCall(
        organization_id=world.organization_id,
        execution_id=world.execution_id,
        playbook_id=world.playbook_id,
        seq=4,
        step=state,
    )


def notification_call(world: World) -> NotificationCall:
    return NotificationCall(
        organization_id=world.organization_id,
        execution_id=world.execution_id,
        playbook_id=world.playbook_id,
        kind="run_finished",
        key="finished",
        data={"status": "completed"},
    )


async def test_rows_follow_when_the_workflow_flushes(world: World) -> None:
    first = await perform(world, "flush", flush_call(world))
    assert (first.applied, first.row_status) == (True, "queued")
    again = await perform(world, "flush", flush_call(world))
    assert (again.applied, again.row_status) == (False, "in_progress")
    async with world.deps.database.reading(world.organization_id) as session:
        assert (await run_rows.get_run(session, world.execution_id)).status == "in_progress"
    query = select(func.count()).where(
        lines.c.transaction_id == world.execution_id, lines.c.line_type == "step_execution", lines.c.line_number == 1
    )
    assert await count(world, query) == 1


async def test_task_is_there_once_when_announced_twice(world: World) -> None:
    for _ in range(2):
        await perform(world, "announce_task", task_call(world))
    query = select(func.count()).where(
        entities.c.entity_type == "playbook_task", entities.c.entity_code == str(world.execution_id)
    )
    assert await count(world, query) == 1


async def test_task_and_rows_are_there_together_when_the_announcement_carries_rows(world: World) -> None:
    tasks = select(func.count()).where(entities.c.id == task_id(world.execution_id, "vote", 1))
    first = await perform(world, "announce_task", task_call(world), flush_call(world))
    assert (first.applied, first.row_status, await count(world, tasks)) == (True, "queued", 1)
    async with world.deps.database.reading(world.organization_id) as session:
        assert (await run_rows.get_run(session, world.execution_id)).seq == 3
    again = await perform(world, "announce_task", task_call(world), flush_call(world))
    assert (again.applied, again.row_status, await count(world, tasks)) == (False, "in_progress", 1)


async def test_no_task_is_made_when_the_run_is_over_by_its_row(world: World) -> None:
    over = flush_call(world)
    await perform(world, "flush", replace(over, run=replace(over.run, status="cancelled", completed_at=NOW)))
    result = await perform(world, "announce_task", task_call(world), flush_call(world, seq=4, temporal_run_id="second"))
    assert (result.applied, result.row_status) == (False, "cancelled")
    assert await count(world, select(func.count()).where(entities.c.entity_type == "playbook_task")) == 0


async def test_notification_of_a_run_is_kept_once_when_repeated(world: World) -> None:
    for _ in range(2):
        await perform(world, "record_notification", notification_call(world))
    query = select(func.count()).where(
        transactions.c.transaction_type == "PLAYBOOK_NOTIFICATION", transactions.c.reference_number == "finished"
    )
    assert await count(world, query) == 1


async def test_output_is_that_of_the_final_steps_when_nothing_is_mapped(world: World) -> None:
    context: JsonObject = {"steps": {"notify": {"status": "completed", "output": {"n": 1}}}}
    assert (await perform(world, "make_output", output_call(world, context))).output == {"notify": {"n": 1}}
    skipped: JsonObject = {"steps": {"notify": {"status": "skipped"}}}
    assert (await perform(world, "make_output", output_call(world, skipped))).output == {}


async def test_output_is_mapped_and_checked_when_the_playbook_has_a_mapping(
    database: Database, organization_id: UUID
) -> None:
    contract = {"type": "object", "properties": {"n": {"type": "integer", "maximum": 5}}}
    world = await make_world(
        database,
        organization_id,
        [step("A", 1, "data_processor")],
        output={"n": "${steps.a.output.n}"},
        output_contract=contract,
    )

    async def made(context: JsonObject, **fields: Any) -> Any:
        return await perform(world, "make_output", output_call(world, context, **fields))

    assert (await made({"steps": {"a": {"status": "completed", "output": {"n": 5}}}})).output == {"n": 5}
    broken = (await made({"steps": {"a": {"status": "completed", "output": {"n": 6}}}})).error
    assert (broken.kind, broken.code, broken.pointer) == ("validation", "CONTRACT_VALIDATION_FAILED", "/output/n")
    missing = (await made({"steps": {"a": {"status": "skipped"}}})).error
    assert (missing.kind, missing.pointer) == ("validation", "/steps/a/output")


async def test_output_is_stored_when_it_is_large(world: World) -> None:
    context: JsonObject = {"steps": {"notify": {"status": "completed", "output": {"text": "x" * 70_000}}}}
    output = (await perform(world, "make_output", output_call(world, context))).output
    assert isinstance(output, PayloadRef)
    assert output.line_number == 500_000


async def test_workflow_is_asked_to_cancel_when_it_exists(world: World, settings: Settings) -> None:
    client = await connect(settings)
    ready = replace(world, deps=replace(world.deps, client=client))
    call = CancelCall(organization_id=world.organization_id, execution_id=world.execution_id)
    await perform(ready, "request_cancel", call)
    handle = await client.start_workflow(
        "Nothing", id=workflow_id(world.organization_id, world.execution_id), task_queue=f"none-{uuid4()}"
    )
    await perform(ready, "request_cancel", call)
    kinds = [event.event_type async for event in handle.fetch_history_events()]
    assert EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED in kinds
    await handle.terminate()
    await perform(ready, "request_cancel", call)


class Shout:
    """Workers of an installed package."""

    description = HandlerDescription(
        name="shout", step_type="system", is_pure=False, config_schema={"type": "object"}, summary="shouts"
    )

    async def run(self, call: HandlerCall) -> HandlerResult:
        return HandlerResult(output={"text": str(call.resolve(call.config.get("text"))).upper()})


def offer(monkeypatch: pytest.MonkeyPatch, *offered: object) -> None:
    points = [SimpleNamespace(name=f"point{n}", load=lambda item=item: item) for n, item in enumerate(offered)]
    monkeypatch.setattr(worker_packages, "entry_points", lambda group: points if group == GROUP else [])


async def test_package_adds_an_activity_when_installed(
    database: Database, organization_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(monkeypatch, Shout())
    assert {name: each.description for name, each in installed_handlers().items()} == {"shout": Shout.description}
    offer(monkeypatch, Shout)
    config = {"text": "${input.word}!"}
    world = await make_world(
        database,
        organization_id,
        [step("Shout", 1, "shout", config=config)],
        handlers={"shout": Shout.description},
    )
    found = {activity._Definition.must_from_callable(item).name: item for item in build_activities(world.deps)}
    outcome = await ActivityEnvironment().run(found["shout"], world.call("shout", {"input": {"word": "hey"}}))
    assert outcome.output == {"text": "HEY!"}


def test_names_of_activities_are_one_list(world: World) -> None:
    registered = set(named(world))
    assert registered - set(build_handlers(world.deps, {})) == set(ActivityName)


async def test_package_is_refused_when_it_brings_no_handler_or_a_taken_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def taken(name: str) -> object:
        shout = Shout()
        shout.description = replace(Shout.description, name=name)
        return shout

    names = ["http_request", *ActivityName]
    for wrong in (object(), SimpleNamespace(description="x", run=print), *map(taken, names)):
        offer(monkeypatch, wrong)
        with pytest.raises(WorkerPackageError):
            installed_handlers()
    offer(monkeypatch, Shout(), Shout())
    with pytest.raises(WorkerPackageError):
        installed_handlers()
    missing = EntryPoint(name="gone", value="no.such.module:thing", group=GROUP)
    monkeypatch.setattr(worker_packages, "entry_points", lambda group: [missing])
    with pytest.raises(WorkerPackageError):
        installed_handlers()


def test_package_that_cannot_be_loaded_is_left_out_of_the_descriptions(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = EntryPoint(name="gone", value="no.such.module:thing", group=GROUP)
    shout = SimpleNamespace(name="shout", load=Shout)
    monkeypatch.setattr(worker_packages, "entry_points", lambda group: [missing, shout])
    assert installed_descriptions() == {"shout": Shout.description}

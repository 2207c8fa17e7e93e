"""Runs before their workflow speaks, and how runs are listed."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from playbooks.common.errors import IdempotencyKeyReusedError, NotFoundError, ValidationError
from storage.database.sessions import WriteSession
from storage.database.tables import lines, transactions
from storage.runs import audit_trail, lists, run_rows, step_lines, unfinished_runs
from storage.runs.admission import NewRun
from storage.runs.audit_trail import is_intact
from storage.runs.lists import RunFilter
from storage.runs.projection import apply_flush
from tests.conftest import MakeOrganization
from tests.storage.raw import add_entity, add_transaction, connected
from tests.storage.samples import ANNA, BEN, SEALER, T0, Sample, published, step


async def test_run_is_stored_queued_with_labels_and_first_event(sample: Sample) -> None:
    run = (await sample.insert()).row
    assert (run.status, run.seq, run.cost, run.total_steps, run.started_at) == ("queued", 0, Decimal(0), 2, None)
    assert (run.playbook_code, run.playbook_name, run.playbook_version) == ("small", "Small playbook", 1)
    assert (run.initiator, run.tags, run.priority) == (ANNA, ("urgent", "night"), "normal")
    assert run.notification == {"on_completion": True}
    async with sample.database.reading(sample.organization_id) as session:
        (first,) = await audit_trail.list_events(session, run.execution_id)
        assert (first.number, first.kind, first.actor) == (1, "run_queued", ANNA)
        labels = select(lines.c.line_number, lines.c.description).where(lines.c.line_type == "run_label")
        found = {tuple(row) for row in await session.connection.execute(labels)}
    assert found == {(900_001, "priority:normal"), (900_002, "tag:urgent"), (900_003, "tag:night")}


async def test_run_input_comes_back_exactly_for_the_sweeper(sample: Sample) -> None:
    start = sample.run_input(
        priority="high",
        variables={"x": [1, 2.0, None, "ü"]},
        max_retries=2,
        timeout_minutes=1.5,
        debug=True,
        input={"secret": "s3cret", "float": 5.0, "large": 1e22, "nested": {"$sealed": "not ours"}},
    )
    await sample.insert(NewRun(input=start))
    async with sample.database.reading(sample.organization_id) as session:
        back = await run_rows.get_run_input(session, start.execution_id, SEALER)
    assert back == start
    assert isinstance(back.input["float"], float)
    assert isinstance(back.input["large"], float)


async def test_sensitive_input_is_not_readable_in_the_row(sample: Sample) -> None:
    run = (await sample.insert()).row
    async with sample.database.reading(sample.organization_id) as session:
        whole = select(transactions).where(transactions.c.id == run.execution_id)
        row = (await session.connection.execute(whole)).one()
    assert "s3cret" not in str(row)
    assert SEALER.redact(run.input) == {"secret": "***", "amount": 5.0}
    assert SEALER.open(run.input) == {"secret": "s3cret", "amount": 5.0}


async def test_repeat_finds_the_first_run(sample: Sample) -> None:
    new = NewRun(input=sample.run_input(), request_hash="one")
    first, again = await sample.insert(new), await sample.insert(new)
    assert (first.was_created, again.was_created) == (True, False)
    assert again.row == first.row
    with pytest.raises(IdempotencyKeyReusedError):
        await sample.insert(replace(new, request_hash="two"))
    async with sample.database.reading(sample.organization_id) as session:
        assert len(await audit_trail.list_events(session, first.row.execution_id)) == 1


async def test_run_is_refused_when_it_names_rows_of_another_organization(
    sample: Sample, admin_database_url: str, new_organization: MakeOrganization
) -> None:
    other = await published(sample.database, await new_organization("other"))
    async with connected(admin_database_url) as admin:
        theirs = await add_entity(admin, other.organization_id, "customer")
        mine = await add_entity(admin, sample.organization_id, "customer")
    with pytest.raises(ValidationError) as refused:
        await sample.insert(NewRun(input=sample.run_input(), subject_entity_id=theirs))
    assert refused.value.problems[0].pointer == "/execution_context/subject_entity_id"
    with pytest.raises(NotFoundError):
        await sample.insert(plan=other.plan)
    run = (await sample.insert(NewRun(input=sample.run_input(), subject_entity_id=mine))).row
    assert run.subject_entity_id == mine


async def test_run_is_not_found_when_organization_is_another(
    sample: Sample, new_organization: MakeOrganization
) -> None:
    run, other = (await sample.insert()).row, await new_organization("other")
    async with sample.database.writing(other) as session:
        with pytest.raises(NotFoundError):
            await run_rows.get_run(session, run.execution_id)
        with pytest.raises(NotFoundError):
            await run_rows.get_run_input(session, run.execution_id, SEALER)
        assert await step_lines.list_steps(session, run.execution_id) == ()
        assert await audit_trail.list_events(session, run.execution_id) == ()
        assert (await lists.list_runs(session, RunFilter())).total == 0
        assert not await unfinished_runs.lock_queued(session, run.execution_id)
        assert not await unfinished_runs.cancel_queued(session, run.execution_id, BEN, "mine now")


async def test_lock_is_given_to_one_only_while_the_run_is_queued(sample: Sample) -> None:
    run = (await sample.insert()).row.execution_id
    async with sample.database.writing(sample.organization_id) as first:
        assert await unfinished_runs.lock_queued(first, run)
        async with sample.database.writing(sample.organization_id) as second:
            assert not await unfinished_runs.lock_queued(second, run)
    async with sample.database.writing(sample.organization_id) as session:
        await apply_flush(session, sample.flush(run, 1), sample.plan, SEALER)
    async with sample.database.writing(sample.organization_id) as session:
        assert not await unfinished_runs.lock_queued(session, run)


async def test_queued_run_is_cancelled_once_and_chain_holds(sample: Sample) -> None:
    run = (await sample.insert()).row.execution_id
    async with sample.database.writing(sample.organization_id) as session:
        assert await unfinished_runs.cancel_queued(session, run, BEN, "not needed")
        assert not await unfinished_runs.cancel_queued(session, run, BEN, "again")
    async with sample.database.reading(sample.organization_id) as session:
        row = await run_rows.get_run(session, run)
        events = await audit_trail.list_events(session, run)
    assert (row.status, row.cancel_reason, row.seq) == ("cancelled", "not needed", 0)
    assert row.completed_at is not None
    assert [(event.number, event.kind) for event in events] == [(1, "run_queued"), (2, "run_cancelled")]
    assert is_intact(run, events)


async def test_running_run_is_not_cancelled_as_a_queued_one(sample: Sample) -> None:
    run = (await sample.insert()).row.execution_id
    async with sample.database.writing(sample.organization_id) as session:
        await apply_flush(session, sample.flush(run, 1), sample.plan, SEALER)
        assert not await unfinished_runs.cancel_queued(session, run, BEN, None)


async def test_sweeper_finds_old_queued_runs_of_all_organizations(
    sample: Sample, new_organization: MakeOrganization
) -> None:
    other = await published(sample.database, await new_organization("other"))
    long_ago = datetime.now(UTC) - timedelta(hours=1)
    old = [
        (await of.insert(NewRun(input=of.run_input(), accepted_at=long_ago))).row.execution_id for of in (sample, other)
    ]
    fresh = (await sample.insert()).row.execution_id
    async with sample.database.recovering() as session:
        found = await unfinished_runs.find_queued(session, timedelta(minutes=30), limit=1000)
    assert {(sample.organization_id, old[0]), (other.organization_id, old[1])} <= set(found)
    assert fresh not in {execution_id for _, execution_id in found}


async def test_live_runs_are_counted_by_version(sample: Sample) -> None:
    ending, _ = (await sample.insert()).row.execution_id, await sample.insert()
    async with sample.database.writing(sample.organization_id) as session:
        assert await unfinished_runs.count_live_runs(session, sample.playbook_id) == 2
        await _finish(session, sample, ending)
        assert await unfinished_runs.count_live_runs(session, sample.playbook_id) == 1


async def test_list_filters_by_every_field(sample: Sample, admin_database_url: str) -> None:
    async with connected(admin_database_url) as admin:
        subject = await add_entity(admin, sample.organization_id, "customer")
    wanted = sample.run_input(priority="high", tags=("gold",), initiator=BEN)
    new = NewRun(input=wanted, correlation_id="order-1", subject_entity_id=subject, accepted_at=T0)
    await sample.insert(new)
    plain = (await sample.insert()).row.execution_id
    async with sample.database.writing(sample.organization_id) as session:
        await _finish(session, sample, wanted.execution_id, priority="high", completed_at=T0 + timedelta(seconds=90))
    ours: list[dict[str, Any]] = [
        {"statuses": ("completed",)},
        {"priority": "high"},
        {"tag": "gold"},
        {"initiated_by": BEN.id},
        {"correlation_id": "order-1"},
        {"subject_entity_id": subject},
        {"date_to": T0 + timedelta(days=1), "date_from": T0},
        {"duration_gte": timedelta(seconds=90)},
        {"duration_gte": timedelta(seconds=80), "duration_lte": timedelta(seconds=100)},
        {"code": "small", "playbook_id": sample.playbook_id, "tag": "gold", "has_incident": False},
    ]
    none: list[dict[str, Any]] = [
        {"code": "nosuch"},
        {"playbook_id": uuid4()},
        {"tag": "golden"},
        {"tag": "priority:high"},
        {"duration_lte": timedelta(seconds=89)},
        {"has_incident": True},
    ]
    async with sample.database.reading(sample.organization_id) as session:
        for fields in ours:
            page = await lists.list_runs(session, RunFilter(**fields))
            assert [row.execution_id for row in page.items] == [wanted.execution_id], fields
            assert page.total == 1
        for fields in none:
            assert (await lists.list_runs(session, RunFilter(**fields))).items == (), fields
        other = await lists.list_runs(session, RunFilter(statuses=("queued", "paused")))
        assert [row.execution_id for row in other.items] == [plain]
        assert (await lists.list_runs(session, RunFilter())).by_status == {"completed": 1, "queued": 1}


@pytest.mark.parametrize("sort_by", ["started_at", "completed_at", "duration", "status", "success_rate", "priority"])
@pytest.mark.parametrize("direction", ["asc", "desc"])
async def test_cursor_pages_neither_repeat_nor_lose_when_rows_are_added(
    sample: Sample, sort_by: Any, direction: Any
) -> None:
    everything: list[UUID] = []
    for number in range(7):
        start = sample.run_input(priority=("low", "normal", "high")[number % 3])
        await sample.insert(NewRun(input=start, accepted_at=T0 + timedelta(seconds=number // 2)))
        everything.append(start.execution_id)
        if number % 2:
            async with sample.database.writing(sample.organization_id) as session:
                ended = T0 + timedelta(seconds=number)
                await _finish(session, sample, start.execution_id, completed_at=ended, priority=start.priority)
    filters = RunFilter(sort_by=sort_by, sort_direction=direction, limit=3, date_to=T0 + timedelta(hours=1))
    seen: list[UUID] = []
    async with sample.database.reading(sample.organization_id) as session:
        at_once = await lists.list_runs(session, replace(filters, limit=50))
        page = await lists.list_runs(session, filters)
    while True:
        seen += [row.execution_id for row in page.items]
        if page.next_cursor is None:
            break
        await sample.insert()
        async with sample.database.reading(sample.organization_id) as session:
            page = await lists.list_runs(session, replace(filters, cursor=page.next_cursor))
    assert seen == [row.execution_id for row in at_once.items]
    assert set(seen) == set(everything)


async def test_priority_sorts_by_rank_not_by_letter(sample: Sample) -> None:
    for priority in ("normal", "critical", "low", "high"):
        await sample.insert(priority=priority)
    async with sample.database.reading(sample.organization_id) as session:
        page = await lists.list_runs(session, RunFilter(sort_by="priority"))
    assert [row.priority for row in page.items] == ["critical", "high", "normal", "low"]


async def test_cursor_is_refused_when_order_is_another(sample: Sample) -> None:
    for _ in range(2):
        await sample.insert()
    async with sample.database.reading(sample.organization_id) as session:
        page = await lists.list_runs(session, RunFilter(limit=1))
        with pytest.raises(ValidationError):
            await lists.list_runs(session, RunFilter(sort_by="status", cursor=page.next_cursor))


async def _finish(session: WriteSession, sample: Sample, run: UUID, **changes: Any) -> None:
    fields = {"status": "completed", "completed_at": T0 + timedelta(seconds=5), **changes}
    await apply_flush(session, sample.flush(run, 5, step("register", 5), **fields), sample.plan, SEALER)


@pytest.mark.parametrize("sort_by", ["completed_at", "duration"])
@pytest.mark.parametrize("direction", ["asc", "desc"])
async def test_unfinished_runs_come_last_when_sorted_by_their_end(sample: Sample, sort_by: Any, direction: Any) -> None:
    waiting, ended = (await sample.insert()).row.execution_id, (await sample.insert()).row.execution_id
    async with sample.database.writing(sample.organization_id) as session:
        await _finish(session, sample, ended)
    async with sample.database.reading(sample.organization_id) as session:
        page = await lists.list_runs(session, RunFilter(sort_by=sort_by, sort_direction=direction))
    assert [row.execution_id for row in page.items] == [ended, waiting]


async def test_other_applications_runs_are_neither_listed_nor_touched(sample: Sample, admin_database_url: str) -> None:
    async with connected(admin_database_url) as admin:
        theirs = await add_transaction(admin, sample.organization_id, "playbook_run", "queued")
        await admin.execute("UPDATE universal_transactions SET version = 0 WHERE id = $1", theirs)
    async with sample.database.writing(sample.organization_id) as session:
        assert (await lists.list_runs(session, RunFilter())).total == 0
        assert await unfinished_runs.count_live_runs(session, sample.playbook_id) == 0
        assert not await unfinished_runs.lock_queued(session, theirs)
        assert not await unfinished_runs.cancel_queued(session, theirs, BEN, None)
        with pytest.raises(NotFoundError):
            await run_rows.get_run(session, theirs)
        with pytest.raises(NotFoundError):
            await run_rows.get_run_input(session, theirs, SEALER)


async def test_two_requests_with_one_key_make_one_run_when_they_come_at_once(sample: Sample) -> None:
    new = NewRun(input=sample.run_input(), request_hash="one")
    results = await asyncio.gather(*(sample.insert(new) for _ in range(6)))
    assert sorted(result.was_created for result in results) == [False] * 5 + [True]
    assert {result.row.execution_id for result in results} == {new.input.execution_id}

"""Pages of runs in every order, what is counted, and that each question finds the index that was made for it."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import timedelta
from hashlib import md5
from itertools import pairwise
from typing import Any, get_args
from uuid import UUID, uuid4

import pytest
from sqlalchemy import event

from playbooks.common.errors import ValidationError
from playbooks.common.values import RunStatus
from storage.database.pages import Cursor, write_cursor
from storage.database.sessions import ReadSession
from storage.runs import admission, lists
from storage.runs.lists import RunFilter
from storage.runs.projection import apply_flush
from storage.runs.run_rows import RunRow
from tests.conftest import MakeOrganization
from tests.storage.raw import add_transaction, connected
from tests.storage.samples import BEN, SEALER, T0, Sample, published, step

SORTS: tuple[Any, ...] = get_args(lists.RunSort)
STATUSES: tuple[RunStatus, ...] = get_args(RunStatus)
ENDED = ("completed", "failed", "cancelled")
RANKS = ("low", "normal", "high", "critical")


@pytest.fixture
async def many(sample: Sample) -> Sample:
    """Eighteen runs: each status three times, with ties in every order."""
    for number in range(18):
        status: Any = STATUSES[number % 6]
        start = sample.run_input(priority=RANKS[number % 4], tags=("even",) if number % 2 == 0 else ())
        accepted_at = T0 + timedelta(minutes=number // 2)
        await sample.insert(admission.NewRun(input=start, accepted_at=accepted_at, correlation_id=f"order-{number}"))
        if status == "queued":
            continue
        ended = {"completed_at": accepted_at + timedelta(seconds=5 * (number // 4))} if status in ENDED else {}
        done = (step("register", 5),) if number % 3 else ()
        more: dict[str, Any] = {"status": status, "priority": start.priority, "started_at": accepted_at, **ended}
        async with sample.database.writing(sample.organization_id) as session:
            await apply_flush(session, sample.flush(start.execution_id, 5, *done, **more), sample.plan, SEALER)
    return sample


async def _page(sample: Sample, filters: RunFilter) -> Any:
    async with sample.database.reading(sample.organization_id) as session:
        return await lists.list_runs(session, filters)


def _value(row: RunRow, sort_by: str) -> Any:
    """The value by which a run is sorted."""
    assert row.started_at or row.status == "queued"
    match sort_by:
        case "started_at":
            return row.started_at or row.accepted_at
        case "completed_at":
            return row.completed_at
        case "duration":
            return row.completed_at and row.started_at and row.completed_at - row.started_at
        case "status":
            return row.status
        case "priority":
            return RANKS.index(row.priority)
        case _:
            return row.completed_steps / row.total_steps


@pytest.mark.parametrize("direction", ["asc", "desc"])
@pytest.mark.parametrize("sort_by", SORTS)
async def test_pages_by_cursor_and_by_offset_are_the_whole_list_in_its_order(
    many: Sample, sort_by: Any, direction: Any
) -> None:
    filters = RunFilter(sort_by=sort_by, sort_direction=direction)
    whole = [row.execution_id for row in (await _page(many, filters)).items]
    assert sorted(whole) == sorted(many.runs)
    values = [_value(row, sort_by) for row in (await _page(many, filters)).items]
    known = [value for value in values if value is not None]
    assert values == known + [None] * (len(values) - len(known))
    assert all(one <= two if direction == "asc" else one >= two for one, two in pairwise(known))
    for limit in (1, 4, 17, 18):
        seen: list[UUID] = []
        cursor: str | None = None
        while True:
            page = await _page(many, replace(filters, limit=limit, cursor=cursor))
            by_offset = await _page(many, replace(filters, limit=limit, offset=len(seen)))
            assert page.items == by_offset.items
            seen += [row.execution_id for row in page.items]
            cursor = page.next_cursor
            assert (cursor is None) == (not page.has_more) == (len(seen) == len(whole))
            if cursor is None:
                break
        assert seen == whole, limit


@pytest.mark.parametrize("sort_by", SORTS)
async def test_filters_hold_in_every_order(many: Sample, sort_by: Any) -> None:
    async def found(**fields: Any) -> list[RunRow]:
        page = await _page(many, RunFilter(sort_by=sort_by, **fields))
        assert page.total == len(page.items)
        return list(page.items)

    assert {row.status for row in await found(statuses=("paused", "failed"))} == {"paused", "failed"}
    assert {row.priority for row in await found(priority="high")} == {"high"}
    assert len(await found(tag="even")) == 9
    assert len(await found(tag="even", priority="normal")) == 0
    assert len(await found(playbook_id=many.playbook_id, code="small", has_incident=False)) == 18
    assert len(await found(date_from=T0 + timedelta(minutes=1), date_to=T0 + timedelta(minutes=2))) == 4
    assert {row.correlation_id for row in await found(correlation_id="order-7")} == {"order-7"}
    assert await found(code="other") == await found(initiated_by=BEN.id) == await found(has_incident=True) == []


async def test_row_that_ends_between_pages_is_not_seen_twice(many: Sample) -> None:
    filters = RunFilter(sort_by="completed_at", limit=10)
    first = await _page(many, filters)
    waiting = first.items[-1]
    assert waiting.completed_at is None
    async with many.database.writing(many.organization_id) as session:
        ended: dict[str, Any] = {"status": "completed", "completed_at": T0 + timedelta(days=1), "started_at": T0}
        await apply_flush(session, many.flush(waiting.execution_id, 9, **ended), many.plan, SEALER)
    second = await _page(many, replace(filters, cursor=first.next_cursor))
    assert [row.execution_id for row in (*first.items, *second.items)] == list(
        dict.fromkeys(row.execution_id for row in (*first.items, *second.items))
    )
    assert {row.execution_id for row in (*first.items, *second.items)} == set(many.runs)


@pytest.mark.parametrize("sort_by", SORTS)
@pytest.mark.parametrize(
    "value",
    [
        "",
        ":",
        "0",
        "0:",
        "9:x",
        "-1:",
        "+0:1",
        "²:1",
        "0:soon",
        "0:2026-01-01T00:00:00",
        "0:nan",
        f"0:{'9' * 40}",
        "99:",
    ],
)
async def test_cursor_is_refused_or_harmless_when_it_was_forged(many: Sample, sort_by: Any, value: str) -> None:
    cursor = write_cursor(Cursor(order=f"{sort_by}:desc", value=value, id=uuid4()))
    try:
        page = await _page(many, RunFilter(sort_by=sort_by, cursor=cursor))
    except ValidationError as refused:
        assert [problem.code for problem in refused.problems] == ["INVALID_CURSOR"]
    else:
        assert sort_by in ("success_rate", "priority")
        assert page.total == 18


async def test_list_goes_on_behind_a_strangers_row_that_looks_like_ours(many: Sample, admin_database_url: str) -> None:
    looks = '{"request_hash": "", "playbook": {}, "start": {"initiator": {}}}'
    async with connected(admin_database_url) as admin:
        theirs = await add_transaction(admin, many.organization_id, "playbook_run", "completed")
        await admin.execute(
            "UPDATE universal_transactions SET business_context = $2::jsonb, transaction_date = $3 WHERE id = $1",
            theirs,
            looks,
            T0 + timedelta(minutes=5),
        )
    seen: list[UUID] = []
    page = await _page(many, RunFilter(limit=1))
    while page.next_cursor is not None:
        seen += [row.execution_id for row in page.items]
        page = await _page(many, RunFilter(limit=1, cursor=page.next_cursor))
    assert [*seen, *(row.execution_id for row in page.items)] == [
        row.execution_id for row in (await _page(many, RunFilter())).items
    ]
    assert {*seen, page.items[0].execution_id} == set(many.runs)


async def test_total_is_exact_below_the_bound_and_marked_above(many: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = [
        {},
        {"statuses": STATUSES},
        {"playbook_id": many.playbook_id},
        {"code": "small"},
        {"has_incident": False},
    ]
    for limit in (17, 18, 19):
        monkeypatch.setattr(lists, "COUNT_LIMIT", limit)
        for fields in asked:
            page = await _page(many, RunFilter(**fields, limit=2))
            assert (page.total, page.total_is_exact) == (min(18, limit), limit > 18), fields
    monkeypatch.setattr(lists, "COUNT_LIMIT", 8)
    page = await _page(many, RunFilter(tag="even"))
    assert (page.total, page.total_is_exact, len(page.items)) == (8, False, 9)
    async with many.database.reading(many.organization_id) as session:
        newest = (await lists.list_runs(session, RunFilter(statuses=("completed", "queued")))).by_status
        assert newest == {"completed": 3, "queued": 3}
        counted = (await lists.list_runs(session, RunFilter(tag="even"))).by_status
        assert counted is not None
        assert sum(counted.values()) == 8
        monkeypatch.setattr(lists, "COUNT_LIMIT", 4)
        newest = (await lists.list_runs(session, RunFilter())).by_status
    assert newest == dict.fromkeys(("paused", "completed", "failed", "cancelled"), 1)


@pytest.mark.parametrize("sort_by", SORTS)
async def test_neither_other_organizations_nor_other_applications_runs_are_shown(
    many: Sample, admin_database_url: str, new_organization: MakeOrganization, sort_by: Any
) -> None:
    other = await published(many.database, await new_organization("other"))
    mine = (await other.insert()).row.execution_id
    marks = ("{}", '{"playbook": 1, "request_hash": 2}', '{"start": {}}', '["playbook", "request_hash"]')
    async with connected(admin_database_url) as admin:
        for index, business_context in enumerate(marks):
            theirs = await add_transaction(admin, other.organization_id, "playbook_run", "completed")
            await admin.execute(
                "UPDATE universal_transactions SET business_context = $2::jsonb, metadata = $3::jsonb WHERE id = $1",
                theirs,
                business_context,
                '{"step_statuses": {}}' if index == 0 else "{}",
            )
            await admin.execute(
                "INSERT INTO universal_transaction_lines"
                " (organization_id, transaction_id, line_number, line_type, description, smart_code)"
                " VALUES ($1, $2, 1, 'run_label', 'priority:normal', 'HERA.TEST.PLAYBOOK.DEF.ROW.V1')",
                other.organization_id,
                theirs,
            )
    asked: list[dict[str, Any]] = [{}, {"priority": "normal"}, {"statuses": ("queued", "completed")}]
    asked.append({"has_incident": False})
    for fields in asked:
        filters = RunFilter(sort_by=sort_by, **fields)
        page = await _page(other, filters)
        assert ([row.execution_id for row in page.items], page.total) == ([mine], 1)
        async with other.database.reading(other.organization_id) as session:
            assert (await lists.list_runs(session, filters)).by_status == {"queued": 1}


# --- indexes

_COPIES = """INSERT INTO universal_transactions
SELECT copy.* FROM universal_transactions t CROSS JOIN generate_series(1, 8000) n
CROSS JOIN LATERAL jsonb_populate_record(t, jsonb_build_object(
    'id', gen_random_uuid(),
    'target_entity_id', CASE WHEN n % 50 > 0 THEN t.target_entity_id END,
    'source_entity_id', CASE WHEN n % 47 = 0 THEN t.target_entity_id END,
    'created_by', md5((n % 43)::text)::uuid,
    'external_reference', 'order-' || n,
    'transaction_date', t.transaction_date - n * interval '1 minute',
    'updated_at', t.transaction_date - n * interval '1 minute' + n % 997 * interval '1 second',
    'transaction_status', (ARRAY['completed', 'failed', 'paused', 'in_progress'])[1 + n % 41 % 4])) copy
WHERE t.id = $1"""

_LABELS = """INSERT INTO universal_transaction_lines
SELECT copy.* FROM universal_transactions t JOIN universal_transaction_lines l ON l.transaction_id = $1
CROSS JOIN LATERAL jsonb_populate_record(l, jsonb_build_object(
    'id', gen_random_uuid(), 'transaction_id', t.id)) copy
WHERE t.organization_id = l.organization_id AND t.id <> $1 AND l.line_type = 'run_label'"""


@pytest.fixture
async def crowded(sample: Sample, admin_database_url: str) -> AsyncGenerator[Sample]:
    """Thousands of runs, so that PostgreSQL has a reason to look for an index."""
    run = (await sample.insert()).row.execution_id
    async with connected(admin_database_url) as admin:
        for copies in (_COPIES, _LABELS):
            await admin.execute(copies, run)
        for table in ("universal_transactions", "universal_transaction_lines"):
            await admin.execute(f"VACUUM ANALYZE {table}")
        yield sample
        await admin.execute("DELETE FROM core_organizations WHERE id = $1", sample.organization_id)


async def _plans(session: ReadSession, filters: RunFilter) -> list[str]:
    """How PostgreSQL answers each statement of a list."""
    asked: list[tuple[str, Any]] = []

    def keep(_connection: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        asked.append((statement, parameters))

    connection = session.connection.sync_connection
    assert connection is not None
    event.listen(connection, "before_cursor_execute", keep)
    await lists.list_runs(session, filters)
    event.remove(connection, "before_cursor_execute", keep)
    plans: list[str] = []
    for statement, parameters in asked:
        plan = await session.connection.exec_driver_sql(f"EXPLAIN (COSTS OFF) {statement}", tuple(parameters))
        plans.append("\n".join(plan.scalars()))
    return plans


async def test_page_is_read_from_an_index_in_its_order(crowded: Sample) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({}, "playbook_runs_by_start"),
        ({"date_to": T0}, "playbook_runs_by_start"),
        ({"statuses": ("completed",)}, "playbook_runs_by_status"),
        ({"playbook_id": crowded.playbook_id}, "playbook_runs_by_(playbook|start)"),
        ({"playbook_id": UUID(int=1)}, "playbook_runs_by_playbook"),
        ({"initiated_by": UUID(md5(b"3").hexdigest())}, "playbook_runs_by_initiator"),
        ({"subject_entity_id": crowded.playbook_id}, "playbook_runs_by_subject"),
        ({"correlation_id": "order-9"}, "playbook_runs_by_correlation"),
        ({"tag": "none"}, "playbook_run_labels"),
        ({"sort_by": "completed_at"}, "playbook_runs_by_end"),
        ({"sort_by": "completed_at", "sort_direction": "asc"}, "playbook_runs_unfinished_by_id"),
        ({"sort_by": "duration"}, "playbook_runs_by_duration"),
        ({"sort_by": "duration", "sort_direction": "asc"}, "playbook_runs_by_duration"),
        ({"sort_by": "status"}, "playbook_runs_by_status"),
        ({"sort_by": "priority"}, "playbook_run_labels"),
    ]
    async with crowded.database.reading(crowded.organization_id) as session:
        for fields, index in cases:
            page, count = await _plans(session, RunFilter(**fields))
            assert re.search(f"(Index Only Scan|Index Scan)( Backward)? using {index}", page), page
            assert "Seq Scan" not in page, page
            assert "Index Only Scan using playbook_runs_by_" in count, count


async def test_no_flush_is_kept_from_being_hot_by_an_index(admin_database_url: str) -> None:
    async with connected(admin_database_url) as admin:
        found = [
            row[0]
            for row in await admin.fetch("SELECT indexdef FROM pg_indexes WHERE tablename = 'universal_transactions'")
        ]
    assert len(found) > 10
    assert [line for line in found if any(name in line for name in ("metadata", "version", "total_amount"))] == []

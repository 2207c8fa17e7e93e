"""Turns of runs of one key, and families of runs: derived from their rows alone."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from playbooks.common.errors import DuplicateExecutionError
from playbooks.engine.model.temporal_messages import ConcurrencyLimit, ParentRun
from storage.database.tables import lines
from storage.runs import children, concurrency, repairs, run_rows, step_lines, unfinished_runs
from storage.runs.admission import NewRun
from storage.runs.labels import parent_label
from storage.runs.projection import apply_flush
from storage.runs.run_rows import RunRow
from tests.conftest import MakeOrganization
from tests.storage.samples import ANNA, SEALER, T0, Sample, published, step

ONE, TWO = (
    ConcurrencyLimit(label="concurrency:small:key", max_runs=1),
    ConcurrencyLimit(label="concurrency:small:key", max_runs=2),
)
NO_GRACE = timedelta(0)


async def entered(sample: Sample, slot: ConcurrencyLimit = ONE, **changes: Any) -> RunRow:
    return (await sample.insert(slot=slot, **changes)).row


async def end(sample: Sample, run: RunRow, status: Any = "completed", seq: int = 1) -> None:
    async with sample.database.writing(sample.organization_id) as session:
        flush = sample.flush(run.execution_id, seq, status=status, completed_at=T0)
        await apply_flush(session, flush, sample.plan, SEALER)


async def shown(sample: Sample, run: RunRow, seq: int = 1, **fields: Any) -> None:
    """Flush a run that goes on."""
    async with sample.database.writing(sample.organization_id) as session:
        await apply_flush(session, sample.flush(run.execution_id, seq, **fields), sample.plan, SEALER)


async def turns(sample: Sample, slot: ConcurrencyLimit, *found: RunRow) -> list[bool]:
    async with sample.database.reading(sample.organization_id) as session:
        return [await concurrency.is_within_limit(session, slot, run.execution_id) for run in found]


async def test_turns_come_in_the_order_of_acceptance_when_runs_end(sample: Sample) -> None:
    found = [await entered(sample, TWO) for _ in range(4)]
    assert await turns(sample, TWO, *found) == [True, True, False, False]
    await end(sample, found[1])
    assert await turns(sample, TWO, *found) == [True, False, True, False]
    await end(sample, found[0], "failed")
    assert await turns(sample, TWO, *found) == [False, False, True, True]


async def test_paused_runs_keep_their_turn_and_other_keys_have_their_own(sample: Sample) -> None:
    first, second = await entered(sample), await entered(sample)
    other = await entered(sample, replace(ONE, label="concurrency:small:other"))
    await shown(sample, first, status="paused")
    assert await turns(sample, ONE, first, second) == [True, False]
    assert await turns(sample, replace(ONE, label="concurrency:small:other"), other) == [True]


async def test_nobody_enters_in_front_of_another_when_clocks_differ(sample: Sample) -> None:
    """A run whose clock is behind is accepted after all that have entered."""
    first = NewRun(input=sample.run_input(slot=ONE), accepted_at=T0)
    late = NewRun(input=sample.run_input(slot=ONE), accepted_at=T0 - timedelta(hours=1))
    one, two = (await sample.insert(first)).row, (await sample.insert(late)).row
    assert two.accepted_at == one.accepted_at + timedelta(microseconds=1)
    assert await turns(sample, ONE, one, two) == [True, False]


async def test_as_many_enter_as_there_is_room_when_many_ask_at_once(sample: Sample) -> None:
    strict = replace(TWO, on_limit="reject")
    asked = await asyncio.gather(*(entered(sample, strict) for _ in range(8)), return_exceptions=True)
    assert sum(isinstance(each, RunRow) for each in asked) == 2
    assert sum(isinstance(each, DuplicateExecutionError) for each in asked) == 6
    queued = await asyncio.gather(*(entered(sample) for _ in range(8)))
    times = {run.accepted_at for run in queued}
    assert len(times) == 8, "each has a place of its own"


async def test_a_repeat_is_not_refused_when_there_is_no_room(sample: Sample) -> None:
    start = NewRun(input=sample.run_input(slot=replace(ONE, on_limit="reject")), request_hash="hash")
    first = await sample.insert(start)
    again = await sample.insert(start)
    assert (again.was_created, again.row.execution_id) == (False, first.row.execution_id)
    await end(sample, first.row)
    await entered(sample)
    assert (await sample.insert(start)).row.status == "completed"


async def test_the_oldest_are_blocking_as_far_as_room_is_needed(sample: Sample) -> None:
    found = [await entered(sample, TWO) for _ in range(4)]
    async with sample.database.reading(sample.organization_id) as session:
        before = [await concurrency.blocking_runs(session, TWO, run.execution_id) for run in found]
        nobody = await concurrency.blocking_runs(session, TWO, uuid4())
    ids = [run.execution_id for run in found]
    assert before == [(), (), (ids[0],), (ids[0], ids[1])]
    assert nobody == ()


async def test_runs_are_notified_that_may_begin_and_have_not_begun(sample: Sample) -> None:
    found = [await entered(sample, TWO) for _ in range(4)]
    await shown(sample, found[0])
    async with sample.database.writing(sample.organization_id) as session:
        flush = sample.flush(found[0].execution_id, 2, step("check", 2))
        await apply_flush(session, flush, sample.plan, SEALER)
    for run in found[1:]:
        await shown(sample, run, waiting_for="concurrency")
    async with sample.database.reading(sample.organization_id) as session:
        assert await concurrency.next_runs(session, TWO) == (found[1].execution_id,)
        everybody = [run.execution_id for run in found]
        assert await concurrency.waiting_within_limit(session, everybody) == (found[1].execution_id,)
        assert await concurrency.waiting_within_limit(session, [found[3].execution_id]) == ()


@pytest.mark.parametrize("way", ["flush", "closing", "cancelled while queued"])
async def test_the_label_stays_behind_when_a_run_ends_in_any_way(sample: Sample, way: str) -> None:
    """Else whoever asks would read all runs that ever had this key."""
    run = await entered(sample)
    if way == "flush":
        await end(sample, run)
    async with sample.database.writing(sample.organization_id) as session:
        if way == "closing":
            closing = repairs.Closing(status="failed", kind="run_lost", reason="lost", at=T0)
            assert await repairs.close_run(session, run.execution_id, closing)
        elif way != "flush":
            assert await unfinished_runs.cancel_queued(session, run.execution_id, ANNA, None)
        described = select(lines.c.description).where(lines.c.transaction_id == run.execution_id)
        labels = set((await session.connection.execute(described.where(lines.c.line_type == "run_label"))).scalars())
    assert ONE.label not in labels
    assert f"left:{ONE.label}" in labels


async def test_keys_of_another_organization_are_its_own(sample: Sample, new_organization: MakeOrganization) -> None:
    other = await published(sample.database, await new_organization("keys"))
    mine, theirs = await entered(sample), await entered(other)
    assert await turns(sample, ONE, mine) == [True]
    assert await turns(other, ONE, theirs) == [True]


# --- families


def child_of(parent: RunRow, **fields: Any) -> ParentRun:
    return ParentRun(execution_id=parent.execution_id, step="check", visit=1, depth=1, **fields)


async def test_both_name_each_other_when_a_run_starts_another(sample: Sample) -> None:
    parent = (await sample.insert()).row
    child = (await sample.insert(parent=child_of(parent), slot=ONE)).row
    assert child.parent == child_of(parent)
    async with sample.database.reading(sample.organization_id) as session:
        again = await run_rows.get_run_input(session, child.execution_id, SEALER)
    assert (again.parent, again.slot) == (child_of(parent), ONE), "whoever starts it later knows it too"
    await shown(sample, parent, children=(child.execution_id,))
    async with sample.database.writing(sample.organization_id) as session:
        line = step("check", 2, status="waiting", child=child.execution_id)
        await apply_flush(session, sample.flush(parent.execution_id, 2, line), sample.plan, SEALER)
        (stored,) = await step_lines.list_steps(session, parent.execution_id)
        labels = select(lines.c.transaction_id).where(lines.c.description == parent_label(parent.execution_id))
        assert list((await session.connection.execute(labels)).scalars()) == [child.execution_id]
    assert stored.child == child.execution_id


async def test_a_child_is_found_when_it_ended_and_its_parent_still_waits(sample: Sample) -> None:
    parent = (await sample.insert()).row
    child = (await sample.insert(parent=child_of(parent))).row
    await shown(sample, parent, children=(child.execution_id,))

    async def found(grace: timedelta = NO_GRACE) -> list[UUID]:
        async with sample.database.reading(sample.organization_id) as session:
            ended = await children.ended_children(session, [parent.execution_id, uuid4()], grace)
        assert all(each.parent == child_of(parent) for each in ended)
        return [each.execution_id for each in ended]

    assert await found() == []
    await end(sample, child)
    assert await found() == [child.execution_id]
    assert await found(timedelta(days=9_000)) == [], "its own workflow has a moment to report it"
    await shown(sample, parent, 2, children=())
    assert await found() == []


async def test_a_child_is_found_when_its_parent_is_over_and_nobody_cancels_it(sample: Sample) -> None:
    parent = (await sample.insert()).row
    left = (await sample.insert(parent=child_of(parent))).row
    detached = (await sample.insert(parent=child_of(parent, waits=False))).row
    cancelling = (await sample.insert(parent=child_of(parent))).row
    await shown(sample, cancelling, cancel_reason="asked to")
    everybody = [left.execution_id, detached.execution_id, cancelling.execution_id]

    async def found() -> tuple[UUID, ...]:
        async with sample.database.reading(sample.organization_id) as session:
            return await children.orphaned_children(session, everybody, NO_GRACE)

    assert await found() == ()
    await end(sample, parent, "cancelled")
    assert await found() == (left.execution_id,)


async def test_input_is_sealed_at_more_places_when_the_start_asks_for_it(sample: Sample) -> None:
    start = sample.run_input(input={"secret": "s3cret", "other": "hidden", "open": 1})
    row = (await sample.insert(NewRun(input=start, sensitive_input=("/other",)))).row
    assert row.input["open"] == 1
    assert "hidden" not in str(row.input)
    async with sample.database.reading(sample.organization_id) as session:
        assert (await run_rows.get_run_input(session, start.execution_id, SEALER)).input == start.input

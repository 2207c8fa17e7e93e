"""Flushes: rows only rise in (epoch, seq), what is finished stays, the trail has no gaps, poison is left out."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text

from playbooks.common.errors import NotFoundError
from playbooks.common.values import FINISHED_RUN, PayloadRef, StepError
from playbooks.engine.model.state import Attempt, PauseState, TaskState, Vote
from playbooks.engine.model.temporal_messages import FlushCall, FlushResult
from storage.database.sessions import Database
from storage.database.tables import lines
from storage.runs import audit_trail, lists, run_rows, step_lines, unfinished_runs
from storage.runs.audit_trail import EventRow, is_intact
from storage.runs.payloads import store_payload
from storage.runs.projection import apply_flush
from storage.runs.repairs import Closing, close_run
from storage.runs.run_rows import RunRow
from storage.runs.step_lines import StepRow
from tests.conftest import MakeOrganization
from tests.storage.samples import BEN, SEALER, T0, Sample, event, published, step


async def _apply(sample: Sample, call: FlushCall) -> FlushResult:
    async with sample.database.writing(sample.organization_id) as session:
        return await apply_flush(session, call, sample.plan, SEALER)


async def _read(sample: Sample, run: UUID) -> tuple[RunRow, dict[str, StepRow], tuple[EventRow, ...]]:
    async with sample.database.reading(sample.organization_id) as session:
        row = await run_rows.get_run(session, run)
        steps = {item.step_key: item for item in await step_lines.list_steps(session, run)}
        return row, steps, await audit_trail.list_events(session, run)


async def _new(sample: Sample) -> UUID:
    return (await sample.insert()).row.execution_id


async def test_flush_writes_run_lines_and_events(sample: Sample) -> None:
    run = await _new(sample)
    paused = PauseState(since=T0, cause="request", reason="lunch")
    waiting = step("register", 3, status="waiting", completed_at=None, cost=Decimal(0))
    call = sample.flush(
        run, 3, waiting, status="paused", pause=paused, current_step="register", events=(event(2), event(3))
    )
    assert await _apply(sample, call) == FlushResult(applied=True, row_status="queued")
    row, steps, events = await _read(sample, run)
    assert (row.status, row.seq, row.epoch, row.pause, row.current_step) == ("paused", 3, 1, paused, "register")
    assert (row.started_at, row.completed_at, row.temporal_run_ids) == (T0, None, ("first",))
    line = steps["register"]
    assert (line.status, line.seq, line.step_number, line.step_name) == ("waiting", 3, 1, "Register")
    assert (line.attempts, line.started_at) == (waiting.attempts, T0)
    assert SEALER.open(line.input) == waiting.input
    assert SEALER.redact(line.output) == {"pin": "***", "fine": True}
    assert [item.number for item in events] == [1, 2, 3]
    assert is_intact(run, events)


async def test_no_incident_is_open_any_more_when_a_run_was_closed_from_outside(sample: Sample) -> None:
    run = await _new(sample)
    await _apply(sample, sample.flush(run, 2, step("register", 2, status="waiting"), open_incidents=1))
    labels = select(lines.c.description).where(lines.c.transaction_id == run, lines.c.line_type == "run_label")
    closing = Closing(status="cancelled", kind="run_cancelled", reason="terminated", at=T0)
    async with sample.database.writing(sample.organization_id) as session:
        assert "incident:open" in (await session.connection.execute(labels)).scalars().all()
        assert await close_run(session, run, closing)
        assert "incident:open" not in (await session.connection.execute(labels)).scalars().all()
    assert (await _read(sample, run))[0].open_incidents == 0


async def test_final_flush_closes_the_run_with_output_cost_and_counts(sample: Sample) -> None:
    run = await _new(sample)
    skipped = step("check", 4, status="skipped", reason="not needed", cost=Decimal(0), output=None)
    ended = T0 + timedelta(seconds=9)
    call = sample.flush(
        run,
        4,
        step("register", 3),
        skipped,
        status="completed",
        completed_at=ended,
        output={"secret": "x", "n": 1},
        digest="d",
    )
    await _apply(sample, call)
    row, steps, _ = await _read(sample, run)
    assert (row.status, row.cost, row.completed_at, row.digest) == ("completed", Decimal("2.5"), ended, "d")
    assert (row.completed_steps, row.skipped_steps, row.failed_steps) == (1, 1, 0)
    assert SEALER.redact(row.output) == {"secret": "***", "n": 1}
    assert steps["check"].reason == "not needed"


async def test_repeated_and_overtaken_flushes_change_nothing(sample: Sample) -> None:
    run = await _new(sample)
    newer = sample.flush(run, 4, step("register", 4), events=(event(2), event(3)))
    older = sample.flush(run, 2, step("register", 2, status="in_progress"), events=(event(2),))
    assert (await _apply(sample, newer)).applied
    before = await _read(sample, run)
    for call in (newer, older):
        assert await _apply(sample, call) == FlushResult(applied=False, row_status="in_progress")
    assert await _read(sample, run) == before


async def test_finished_run_never_changes_but_its_trail_goes_on(sample: Sample) -> None:
    run = await _new(sample)
    await _apply(sample, sample.flush(run, 4, step("register", 4), status="cancelled", completed_at=T0))
    before, steps, _ = await _read(sample, run)
    late = sample.flush(
        run, 6, step("check", 6), status="completed", cost=Decimal(99), output={"x": 1}, events=(event(2, "refused"),)
    )
    assert await _apply(sample, late) == FlushResult(applied=False, row_status="cancelled")
    after, steps_after, events = await _read(sample, run)
    assert replace(after, seq=before.seq, events=before.events) == before
    assert after.seq == 6
    assert steps_after == steps
    assert [item.kind for item in events] == ["run_queued", "refused"]
    assert is_intact(run, events)


async def test_newer_execution_raises_epoch_and_older_one_is_ignored(sample: Sample) -> None:
    run = await _new(sample)
    await _apply(sample, sample.flush(run, 9, step("register", 9), events=(event(2), event(3))))
    # A reset goes back: lower seq, event numbers again from where it was reset to.
    reset = sample.flush(run, 4, step("register", 4, status="failed"), workflow="second", events=(event(2, "again"),))
    assert (await _apply(sample, reset)).applied
    assert not (await _apply(sample, sample.flush(run, 20, step("register", 20)))).applied
    row, steps, events = await _read(sample, run)
    assert (row.epoch, row.seq, steps["register"].status) == (2, 4, "failed")
    assert [item.number for item in events] == [1, 2, 3, 4]
    assert events[-1].kind == "again"
    assert is_intact(run, events)


async def test_reset_of_a_finished_run_is_refused(sample: Sample) -> None:
    run = await _new(sample)
    await _apply(sample, sample.flush(run, 4, step("register", 4), status="completed", completed_at=T0))
    before = await _read(sample, run)
    again = sample.flush(run, 9, step("register", 9), workflow="second", events=(event(2),))
    assert await _apply(sample, again) == FlushResult(applied=False, row_status="completed")
    assert await _read(sample, run) == before


async def test_first_flush_learns_that_its_run_was_cancelled(sample: Sample) -> None:
    run = await _new(sample)
    async with sample.database.writing(sample.organization_id) as session:
        assert await unfinished_runs.cancel_queued(session, run, BEN, "no")
    first = await _apply(sample, sample.flush(run, 2, step("register", 2), events=(event(2, "run_started"),)))
    assert first == FlushResult(applied=False, row_status="cancelled")
    second = sample.flush(run, 3, status="cancelled", events=(event(3, "late"),), completed_at=T0)
    assert (await _apply(sample, second)).row_status == "cancelled"
    row, steps, events = await _read(sample, run)
    assert (row.status, row.cancel_reason, row.cost, steps) == ("cancelled", "no", Decimal(0), {})
    assert [item.kind for item in events] == ["run_queued", "run_cancelled", "run_started", "late"]
    assert is_intact(run, events)


async def test_further_visits_have_the_lines_that_the_machine_gave_them(sample: Sample) -> None:
    run = await _new(sample)
    await _apply(sample, sample.flush(run, 2, step("register", 2), step("check", 2, visit=2, line=100_001)))
    again = (step("check", 3, visit=2, line=100_001), step("register", 3, visit=2, line=100_002))
    await _apply(sample, sample.flush(run, 3, *again))
    async with sample.database.reading(sample.organization_id) as session:
        numbers = select(lines.c.line_number).where(lines.c.line_type == "step_execution")
        found = sorted((await session.connection.execute(numbers)).scalars())
    assert found == [1, 100_001, 100_002]


async def test_cost_is_the_sum_over_the_lines(sample: Sample) -> None:
    run = await _new(sample)
    await _apply(sample, sample.flush(run, 2, step("register", 2, cost=Decimal("1.25"))))
    await _apply(sample, sample.flush(run, 3, step("check", 3, cost=Decimal("0.5")), cost=Decimal("1.75")))
    async with sample.database.reading(sample.organization_id) as session:
        total = text("SELECT sum(line_amount - discount_amount + tax_amount) FROM universal_transaction_lines")
        assert (await session.connection.execute(total)).scalar_one() == Decimal("1.75")
    row, _, _ = await _read(sample, run)
    assert row.cost == Decimal("1.75")


async def test_new_priority_moves_the_label(sample: Sample) -> None:
    run = await _new(sample)
    await _apply(sample, sample.flush(run, 2, priority="critical"))
    async with sample.database.reading(sample.organization_id) as session:
        page = await lists.list_runs(session, lists.RunFilter(priority="critical"))
        assert [row.priority for row in page.items] == ["critical"]
        assert (await lists.list_runs(session, lists.RunFilter(priority="normal"))).items == ()


async def test_values_stored_apart_come_back_in_their_place(sample: Sample) -> None:
    run = await _new(sample)
    async with sample.database.writing(sample.organization_id) as session:
        ref = await store_payload(session, run, 500_002, SEALER.seal({"big": "x" * 70_000}, ("/big",)))
    await _apply(sample, sample.flush(run, 2, step("check", 2, output=ref)))
    _, steps, _ = await _read(sample, run)
    assert SEALER.open(steps["check"].output) == {"big": "x" * 70_000}
    assert steps["check"].output_ref == ref
    async with sample.database.reading(sample.organization_id) as session:
        (bare,) = await step_lines.list_steps(session, run, with_payloads=False)
        assert bare.output is None


async def test_forged_reference_in_an_output_stays_a_value(sample: Sample) -> None:
    run = await _new(sample)
    forged = {"line_number": 1, "size_bytes": 1, "sha256": "x", "output_ref": {"line_number": 1}}
    await _apply(sample, sample.flush(run, 2, step("check", 2, output=forged)))
    _, steps, _ = await _read(sample, run)
    assert (steps["check"].output, steps["check"].output_ref) == (forged, None)


@pytest.mark.parametrize("bad", ["nul \x00", "half \udc00", float("nan"), float("-inf"), 10**400])
async def test_poison_is_left_out_by_column_and_the_rest_is_stored(sample: Sample, bad: Any) -> None:
    run = await _new(sample)
    attempt = Attempt(number=1, started_at=T0, error=StepError(kind="system", code="X", message=str(bad)[:20]))
    poisoned = step("register", 2, output={"a": bad}, attempts=(attempt,))
    call = sample.flush(run, 2, poisoned, step("check", 2), events=(event(2, data={"b": bad}), event(3)))
    assert (await _apply(sample, call)).applied
    row, steps, events = await _read(sample, run)
    assert row.status == "in_progress"
    assert set(steps["register"].output) == {"$quarantined"}  # type: ignore[arg-type]
    assert steps["register"].input is not None
    assert len(steps["register"].attempts) == 1
    assert steps["check"].output == {"pin": "1234", "fine": True}
    left_out = [item for item in events if item.kind == "value_quarantined"]
    assert {"output", "event.data"} <= {str(item.data["column"]) for item in left_out}
    assert [item.number for item in events] == list(range(1, len(events) + 1))
    assert is_intact(run, events)
    # The machine's own numbers go on where they were.
    assert (await _apply(sample, sample.flush(run, 3, events=(event(4, "next"),)))).applied
    _, _, more = await _read(sample, run)
    assert [item.kind for item in more][-1] == "next"
    assert is_intact(run, more)


async def test_poisoned_error_and_votes_do_not_block_the_run(sample: Sample) -> None:
    run = await _new(sample)
    error = StepError(kind="business_rule", code="X", message="bad \x00 text")
    votes = (Vote(actor=BEN, choice="approve", at=T0, comment="\ud800", data={"pin": "1\x002"}),)
    task = TaskState(id=uuid4(), opened_at=T0, roles=("clerk",), votes=votes)
    failed = step("register", 2, status="failed", error=error, reason="\x00", task=task, output=None)
    call = sample.flush(run, 2, failed, status="failed", error=error, completed_at=T0, cancel_reason="\ud800")
    assert (await _apply(sample, call)).applied
    row, steps, events = await _read(sample, run)
    assert row.status == "failed"
    assert row.error is not None
    assert row.error.code == "QUARANTINED"
    assert steps["register"].error is not None
    assert is_intact(run, events)


async def test_flush_is_refused_when_run_is_of_another_organization(
    sample: Sample, new_organization: MakeOrganization
) -> None:
    run = await _new(sample)
    other = await published(sample.database, await new_organization("other"))
    with pytest.raises(NotFoundError):
        await _apply(other, sample.flush(run, 2, step("register", 2)))


async def test_changed_event_breaks_the_chain(sample: Sample, admin_database_url: str) -> None:
    from tests.storage.raw import connected

    run = await _new(sample)
    await _apply(sample, sample.flush(run, 2, events=(event(2, data={"amount": 5}), event(3))))
    _, _, events = await _read(sample, run)
    assert is_intact(run, events)
    assert not is_intact(uuid4(), events)
    assert not is_intact(run, events[1:])
    async with connected(admin_database_url) as admin:
        await admin.execute(
            "UPDATE universal_transaction_lines SET line_data = jsonb_set(line_data, '{data,amount}', '6')"
            " WHERE transaction_id = $1 AND line_number = 1000002",
            run,
        )
    _, _, changed = await _read(sample, run)
    assert not is_intact(run, changed)


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet='abü"\\', max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(data=st.dictionaries(st.text(alphabet="xyz", min_size=1, max_size=3), JSON_VALUES, max_size=4))
async def test_chain_holds_over_the_values_as_stored(sample: Sample, data: dict[str, Any]) -> None:
    run = await _new(sample)
    await _apply(sample, sample.flush(run, 2, events=(event(2, data=data), event(3))))
    _, _, events = await _read(sample, run)
    assert is_intact(run, events)


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(
    flushes=st.lists(
        st.tuples(
            st.integers(1, 6),
            st.sampled_from(["first", "second", "third"]),
            st.sampled_from(["in_progress", "completed", "failed"]),
        ),
        max_size=8,
    )
)
async def test_rows_only_rise_whatever_order_flushes_come_in(
    sample: Sample, flushes: list[tuple[int, str, Any]]
) -> None:
    run = await _new(sample)
    before, _, _ = await _read(sample, run)
    for seq, workflow, status in flushes:
        ended = T0 if status in FINISHED_RUN else None
        call = sample.flush(run, seq, step("register", seq), workflow=workflow, status=status, completed_at=ended)
        result = await _apply(sample, call)
        row, steps, events = await _read(sample, run)
        assert result.row_status == before.status
        assert (row.epoch, row.seq) >= (before.epoch, before.seq)
        if before.status in FINISHED_RUN:
            assert (row.status, row.cost, row.completed_at) == (before.status, before.cost, before.completed_at)
            assert not result.applied
        if result.applied:
            assert (row.epoch, row.seq) > (before.epoch, before.seq)
            assert (steps["register"].seq, row.status) == (seq, status)
        assert is_intact(run, events)
        before = row


async def test_flushes_of_one_run_take_turns(sample: Sample, database: Database) -> None:
    import asyncio

    run = await _new(sample)
    calls = [
        sample.flush(run, seq, step("register", seq), events=tuple(event(number) for number in range(2, seq + 1)))
        for seq in range(2, 8)
    ]
    await asyncio.gather(*(_apply(sample, call) for call in reversed(calls)))
    row, steps, events = await _read(sample, run)
    assert (row.seq, steps["register"].seq) == (7, 7)
    assert is_intact(run, events)


async def test_other_applications_line_is_left_alone_when_numbers_meet(sample: Sample, admin_database_url: str) -> None:
    from tests.storage.raw import add_line, connected

    run = await _new(sample)
    async with connected(admin_database_url) as admin:
        theirs = await add_line(admin, sample.organization_id, run, 1, "invoice_line", 3)
    await _apply(sample, sample.flush(run, 2, step("register", 2)))
    async with sample.database.reading(sample.organization_id) as session:
        kind = select(lines.c.line_type).where(lines.c.id == theirs)
        assert (await session.connection.execute(kind)).scalar_one() == "invoice_line"


async def test_ref_type_survives_in_run_output(sample: Sample) -> None:
    run = await _new(sample)
    ref = PayloadRef(line_number=500_000, size_bytes=9, sha256="ab")
    await _apply(sample, sample.flush(run, 2, status="completed", completed_at=T0, output=ref))
    row, _, _ = await _read(sample, run)
    assert (row.output, row.output_ref) == (None, ref)

"""Round trips of a flush, and amounts that no column can hold."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from uuid import uuid4

import pytest
from sqlalchemy import event as sql_event

from playbooks.engine.model.state import TaskState
from storage.runs import audit_trail, run_rows, step_lines
from storage.runs.projection import apply_flush
from tests.storage.samples import SEALER, T0, Sample, event, step


@pytest.mark.parametrize("cost", [Decimal("NaN"), Decimal("Infinity"), Decimal(10) ** 30, Decimal(-5)])
async def test_amount_is_left_out_and_the_rest_stored_when_no_column_holds_it(sample: Sample, cost: Decimal) -> None:
    run = (await sample.insert()).row.execution_id
    call = sample.flush(
        run, 2, step("register", 2, cost=Decimal(3)), step("check", 2, cost=cost), events=(event(2),), cost=cost + 3
    )
    call = replace(call, run=replace(call.run, status="completed", completed_at=T0))
    async with sample.database.writing(sample.organization_id) as session:
        assert (await apply_flush(session, call, sample.plan, SEALER)).applied
    async with sample.database.reading(sample.organization_id) as session:
        row = await run_rows.get_run(session, run)
        steps = {item.step_key: item for item in await step_lines.list_steps(session, run)}
        events = await audit_trail.list_events(session, run)
    assert (row.status, row.cost) == ("completed", Decimal(3))
    assert steps["check"].cost == 0
    assert {str(item.data["column"]) for item in events if item.kind == "value_quarantined"} == {"cost", "total_amount"}


async def test_flush_takes_few_round_trips_when_many_rows_change(sample: Sample) -> None:
    run = (await sample.insert()).row.execution_id
    task = TaskState(id=uuid4(), opened_at=T0, roles=("clerk",))
    visits = tuple(step("check", 2, visit=number, line=100_000 + number) for number in range(1, 40))
    call = sample.flush(
        run,
        2,
        step("register", 2, status="waiting", task=task),
        *visits,
        events=tuple(event(number) for number in range(2, 60)),
        priority="high",
    )
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        statements.append(statement)

    async with sample.database.writing(sample.organization_id) as session:
        engine = session.connection.engine.sync_engine
        sql_event.listen(engine, "before_cursor_execute", note)
        try:
            await apply_flush(session, call, sample.plan, SEALER)
        finally:
            sql_event.remove(engine, "before_cursor_execute", note)
    # Hold the run, lines, the task, the priority's label, events, the run.
    assert len(statements) == 6, statements

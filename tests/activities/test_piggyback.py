"""An effect writes the rows that it carries when they are due, and never fails or waits because of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast
from uuid import uuid4

import pytest

from activities import piggyback, projection
from activities.dependencies import ActivityDependencies
from activities.piggyback import MANY_STEPS
from activities.write_throttle import WriteThrottle
from playbooks.common.errors import ServiceUnavailableError
from playbooks.engine.machine import new_run
from playbooks.engine.model.temporal_messages import FlushCall, FlushResult, StepOutcome
from playbooks.engine.projection import flush_of
from tests.support.plans import plan_of, run_input, step

SHORT = 0.05


@pytest.fixture(autouse=True)
def short_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("activities.write_throttle.WRITE_EVERY", SHORT)
    monkeypatch.setattr("activities.piggyback.WRITE_EVERY", SHORT)


class Rows:
    """Fake of the flush into the database that records its calls."""

    def __init__(self, answer: Callable[[], FlushResult]) -> None:
        self.written: list[FlushCall] = []
        self._answer = answer

    async def flush(self, _: ActivityDependencies, call: FlushCall) -> FlushResult:
        self.written.append(call)
        return self._answer()


def applied() -> FlushResult:
    return FlushResult(applied=True, row_status="in_progress")


def away() -> FlushResult:
    raise ServiceUnavailableError("the database is away")


def carried(steps: int = 1) -> FlushCall:
    plan = plan_of(*(step(f"s{n}", n) for n in range(1, steps + 1)))
    state = replace(new_run(run_input(plan, execution_id=uuid4())), seq=7)
    state = replace(state, steps={key: replace(line, seq=7) for key, line in state.steps.items()})
    return flush_of(plan, state, flushed_seq=0, temporal_run_id="r")


async def outcome_of(
    monkeypatch: pytest.MonkeyPatch, rows: Rows, call: FlushCall | None, *, seconds: float
) -> StepOutcome:
    monkeypatch.setattr(projection, "flush", rows.flush)

    async def work() -> StepOutcome:
        await asyncio.sleep(seconds)
        return StepOutcome(status="succeeded")

    deps = cast("Any", type("Deps", (), {"throttle": WriteThrottle()})())
    return await piggyback.write_rows_meanwhile(deps, call, work())


async def test_writes_nothing_when_the_effect_is_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = Rows(applied)
    outcome = await outcome_of(monkeypatch, rows, carried(), seconds=0)
    assert (outcome.rows_seq, rows.written) == (None, [])


async def test_writes_and_reports_it_when_the_effect_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = Rows(applied)
    outcome = await outcome_of(monkeypatch, rows, carried(), seconds=3 * SHORT)
    assert (outcome.rows_seq, len(rows.written)) == (7, 1)


async def test_writes_at_once_when_much_has_come_together(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = Rows(applied)
    outcome = await outcome_of(monkeypatch, rows, carried(MANY_STEPS), seconds=0.01)
    assert (outcome.rows_seq, len(rows.written)) == (7, 1)


async def test_tries_again_and_does_not_fail_when_the_database_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = Rows(away)
    outcome = await outcome_of(monkeypatch, rows, carried(), seconds=6 * SHORT)
    assert outcome == StepOutcome(status="succeeded")
    assert len(rows.written) >= 2


async def test_leaves_it_to_the_workflow_when_the_run_is_over_by_its_row(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = Rows(lambda: FlushResult(applied=False, row_status="cancelled"))
    outcome = await outcome_of(monkeypatch, rows, carried(), seconds=3 * SHORT)
    assert outcome.rows_seq is None


async def test_does_not_wait_for_long_when_a_write_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(*_: Any) -> FlushResult:
        await asyncio.sleep(60)
        raise AssertionError

    rows = Rows(applied)
    monkeypatch.setattr(rows, "flush", hang)
    began = time.monotonic()
    outcome = await outcome_of(monkeypatch, rows, carried(), seconds=3 * SHORT)
    assert outcome.rows_seq is None
    assert time.monotonic() - began < 5


async def test_only_works_when_nothing_is_carried(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = Rows(applied)
    assert await outcome_of(monkeypatch, rows, None, seconds=0) == StepOutcome(status="succeeded")
    assert rows.written == []

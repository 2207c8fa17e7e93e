"""A run under a concurrency limit, in the machine: nothing begins before the limit is acquired."""

from __future__ import annotations

from typing import Any

import pytest

from playbooks.engine.model.commands import AcquireConcurrency, FinishRun, RunStep
from playbooks.engine.model.events import ConcurrencyReported, TimerFired
from playbooks.engine.model.temporal_messages import ConcurrencyLimit, OutcomeOfCheck
from playbooks.engine.projection import project_run
from tests.support.driver import Drive
from tests.support.plans import INITIATOR, person, plan_of, step

PLAN = plan_of(step("a", 1), step("b", 2, after=("a",)))
SERVICE = person("service")
FIRST, AGAIN = AcquireConcurrency(is_first=True), AcquireConcurrency(is_first=False)


def queued(**fields: Any) -> Drive:
    return Drive(PLAN, slot=ConcurrencyLimit(label="key", max_runs=1, **fields)).begin()


def answer(run: Drive, *, is_acquired: bool) -> None:
    run.post(ConcurrencyReported(at=run.now, is_acquired=is_acquired))


def notify(run: Drive) -> Any:
    return run.send("concurrency_free", SERVICE, check=OutcomeOfCheck(actor=SERVICE))


def waiting() -> Drive:
    run = queued()
    answer(run, is_acquired=False)
    return run


def test_begins_when_it_is_its_turn_at_once() -> None:
    run = queued()
    assert run.last == (FIRST,)
    answer(run, is_acquired=True)
    assert run.started() == [("a", 1)]
    assert run.kinds == ["run_started", "step_started"]


def test_waits_and_reports_it_when_the_limit_is_reached() -> None:
    run = waiting()
    assert run.state.status == "in_progress"
    assert run.kinds == ["run_started", "concurrency_awaited"]
    shown = project_run(PLAN, run.state)
    assert (shown.waiting_for, shown.current_step) == ("concurrency", None)
    answer(run, is_acquired=True)
    assert run.started() == [], "an answer without a request"


def test_asks_again_when_it_is_notified_and_goes_on() -> None:
    run = waiting()
    assert notify(run).outcome == "accepted"
    assert AGAIN in run.last
    assert run.state.timers == {}
    answer(run, is_acquired=True)
    assert run.started() == [("a", 1)]
    assert run.kinds[-2:] == ["concurrency_acquired", "step_started"]
    assert project_run(PLAN, run.state).waiting_for is None
    assert notify(run).outcome == "refused"


def test_asks_by_itself_when_no_notification_comes() -> None:
    run = waiting()
    assert (run.state.timers["concurrency"] - run.now).total_seconds() == 30
    run.fire("concurrency")
    assert run.last == (AGAIN,)
    answer(run, is_acquired=False)
    assert "concurrency" in run.state.timers
    assert run.kinds.count("concurrency_awaited") == 1
    run.post(TimerFired(at=run.now, timer="nothing"))
    assert run.last == ()


def test_asks_once_more_when_it_is_notified_while_it_asks() -> None:
    run = queued()
    notify(run)
    assert AcquireConcurrency not in [type(command) for command in run.last]
    answer(run, is_acquired=False)
    assert run.last == (AGAIN,)
    assert run.state.timers == {}
    answer(run, is_acquired=False)
    assert "concurrency" in run.state.timers


def test_asks_nothing_when_its_policy_refuses_what_has_no_room() -> None:
    assert queued(on_limit="reject").started() == [("a", 1)]


def test_ends_when_it_is_cancelled_while_it_waits() -> None:
    run = waiting()
    run.send("cancel_run", INITIATOR)
    assert FinishRun() in run.last
    assert (run.state.status, run.state.timers) == ("cancelled", {})
    assert project_run(PLAN, run.state).waiting_for is None
    assert set(run.statuses.values()) == {"cancelled"}
    answer(run, is_acquired=True)
    assert run.last == ()


def test_fails_when_its_time_is_over_while_it_waits() -> None:
    run = Drive(PLAN, slot=ConcurrencyLimit(label="key", max_runs=1), timeout_minutes=5.0).begin()
    answer(run, is_acquired=False)
    run.fire("deadline")
    assert run.state.status == "failed"


@pytest.mark.parametrize("is_first", [True, False])
def test_holds_its_turn_and_begins_nothing_when_it_is_paused(is_first: bool) -> None:
    run = queued() if is_first else waiting()
    if not is_first:
        run.fire("concurrency")
    run.send("pause", INITIATOR)
    answer(run, is_acquired=True)
    assert run.state.concurrency is None
    assert run.started() == []
    run.send("resume", INITIATOR)
    assert RunStep(step="a", visit=1, attempt=1) in run.last

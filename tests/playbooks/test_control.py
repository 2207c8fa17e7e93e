"""Pause, resume, cancel and budget; what happens meanwhile; what is refused, and that it leaves its trace."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from playbooks.engine.model.commands import Answer, CheckMessage, OpenTask, StopTimer
from playbooks.engine.model.events import CancelRequested, MessageChecked, MessageReceived, MessageRefused
from playbooks.engine.model.plan import ApprovalPlan, BudgetPlan, RetryPolicy
from playbooks.engine.model.state import PauseState
from playbooks.engine.model.temporal_messages import OutcomeOfCheck
from tests.support.driver import Drive
from tests.support.messages import message_of
from tests.support.plans import effect, human, person, plan_of, step

ANNA, BEN = person("anna", "approver"), person("ben", "approver")


def budget(action: Any, most: int) -> BudgetPlan:
    return BudgetPlan(max_cost=Decimal(most), currency="USD", on_exceed=action)


# --- pausing


def test_finishes_the_attempt_and_holds_the_next_step_when_paused() -> None:
    drive = Drive(plan_of(effect("a", 1), step("b", 2, after=("a",)))).begin()
    assert drive.send("pause", reason="lunch").outcome == "accepted"
    drive.report("a")
    assert (drive.state.status, drive.statuses) == ("paused", {"a": "completed", "b": "pending"})
    drive.send("resume")
    assert drive.started() == [("b", 1)]
    assert (drive.state.status, drive.state.pause) == ("in_progress", None)


def test_keeps_the_pause_until_resume_when_a_retry_is_due() -> None:
    drive = Drive(plan_of(effect("a", 1, retry=RetryPolicy(initial_delay_ms=100)))).begin()
    drive.fail("a")
    drive.send("pause")
    drive.fire("retry:a:1")
    assert drive.started() == []
    drive.send("resume")
    assert drive.started() == [("a", 2)]


def test_leaves_the_retry_to_its_timer_when_resumed_before_it_is_due() -> None:
    drive = Drive(plan_of(effect("a", 1))).begin()
    drive.send("pause")
    drive.fail("a")
    drive.send("resume")
    assert drive.started() == []
    drive.fire("retry:a:1")
    assert drive.started() == [("a", 2)]


def test_sends_a_lost_attempt_again_when_paused_because_it_was_running() -> None:
    drive = Drive(plan_of(effect("a", 1))).begin()
    drive.send("pause")
    drive.lose("a")
    assert drive.started() == [("a", 1)]


def test_parks_an_attempt_that_could_not_begin_when_paused() -> None:
    drive = Drive(plan_of(effect("a", 1))).begin()
    drive.fail("a", code="NOT_STARTED")
    drive.send("pause")
    drive.fire("retry:a:1")
    assert (drive.started(), drive.step("a").is_parked) == ([], True)
    drive.send("resume")
    assert (drive.started(), drive.step("a").is_parked) == ([("a", 1)], False)


@pytest.mark.parametrize("carrier", ["task", "timer"])
def test_opens_nothing_when_a_step_is_prepared_during_a_pause(carrier: Any) -> None:
    drive = Drive(plan_of(step("a", 1, carrier=carrier, required_roles=("approver",)))).begin()
    drive.send("pause")
    drive.prepare("a", wait_until=drive.now + timedelta(hours=1))
    assert (drive.last, drive.statuses) == ((), {"a": "in_progress"})
    drive.send("resume")
    assert drive.statuses == {"a": "waiting"}
    assert (OpenTask(step="a", visit=1) in drive.last) == (carrier == "task")
    assert ("timer:a:1" in drive.state.timers) == (carrier == "timer")


def test_holds_a_prepared_effect_until_resume_when_paused() -> None:
    drive = Drive(plan_of(effect("a", 1, has_condition=True))).begin()
    drive.send("pause")
    drive.prepare("a")
    assert drive.started() == []
    drive.send("resume")
    assert drive.started() == [("a", 1)]


def test_keeps_a_decision_and_counts_it_once_when_paused() -> None:
    drive = Drive(plan_of(human("h", 1, approval=ApprovalPlan(threshold=2, max_voters=2)))).begin()
    drive.prepare("h")
    drive.send("pause")
    assert drive.decide("h", ANNA).outcome == "kept"
    assert drive.decide("h", ANNA).code == "ALREADY_DECIDED"
    assert drive.decide("h", person("dan", "clerk")).code == "NOT_ELIGIBLE", "identity is checked at once"
    wrong = OutcomeOfCheck(actor=BEN, code="CONTRACT_VALIDATION_FAILED")
    assert drive.send("decide", BEN, check=wrong, step="h", decision="approve").code == "CONTRACT_VALIDATION_FAILED"
    assert drive.task("h").votes == ()
    drive.send("resume")
    assert [vote.actor for vote in drive.task("h").votes] == [ANNA]
    assert drive.decide("h", BEN).outcome == "accepted"
    assert drive.kinds.count("decision_made") == 2


def test_lets_clocks_run_on_when_paused() -> None:
    rules = ApprovalPlan(window_minutes=10.0, reminder_minutes=(5.0,), on_timeout="timed_out")
    plan = plan_of(human("h", 1, approval=rules), step("t", 2, carrier="timer"), timeout_minutes=60.0)
    drive = Drive(plan).begin()
    drive.prepare("h")
    drive.prepare("t", wait_until=drive.now + timedelta(minutes=20))
    drive.send("pause")
    drive.fire("reminder:h:1:0")
    drive.fire("window:h:1")
    drive.fire("timer:t:1")
    assert drive.statuses == {"h": "completed", "t": "completed"}
    assert drive.state.status == "paused"
    drive.fire("deadline")
    assert (drive.state.status, drive.state.pause) == ("failed", None)


def test_resumes_by_itself_when_the_pause_had_an_end() -> None:
    drive = Drive(plan_of(effect("a", 1), step("b", 2, after=("a",)))).begin()
    until = drive.now + timedelta(minutes=5)
    assert drive.send("pause", until=until.isoformat()).outcome == "accepted"
    assert drive.state.pause == PauseState(since=drive.now, cause="request", until=until)
    drive.report("a")
    drive.fire("resume")
    assert drive.started() == [("b", 1)]


def test_forgets_the_end_of_a_pause_when_somebody_resumes_first() -> None:
    drive = Drive(plan_of(effect("a", 1))).begin()
    drive.send("pause", until=(drive.now + timedelta(minutes=5)).isoformat())
    drive.send("resume")
    assert StopTimer(timer="resume") in drive.last
    assert drive.state.timers == {}


@pytest.mark.parametrize(
    "until", ["", "soon", "2026-11-02", "2026-11-02T09:00:00", "2026-11-02T07:59:59+00:00", "2026-13-01T00:00:00+00:00"]
)
def test_refuses_a_pause_when_its_end_is_no_instant_to_come(until: str) -> None:
    drive = Drive(plan_of(effect("a", 1))).begin()
    assert drive.send("pause", until=until).code == "VALIDATION_ERROR"
    assert drive.state.status == "in_progress"


def test_makes_the_output_at_resume_when_it_came_while_paused() -> None:
    drive = Drive(plan_of(step("a", 1))).begin()
    drive.report("a")
    drive.send("pause")
    drive.make_output({"n": 1})
    assert drive.state.status == "paused"
    drive.send("resume")
    drive.make_output({"n": 1})
    assert drive.state.status == "completed"


@pytest.mark.parametrize(("verb", "first"), [("resume", None), ("pause", "pause")])
def test_refuses_a_verb_when_the_run_is_in_that_state_already(verb: str, first: str | None) -> None:
    drive = Drive(plan_of(effect("a", 1))).begin()
    if first:
        drive.send(first)
    status = drive.state.status
    assert drive.send(verb).code == "INVALID_STATUS"
    assert drive.state.status == status
    assert drive.events[-1].data == {"verb": verb, "code": "INVALID_STATUS"}


def test_refuses_a_pause_when_the_run_has_not_begun() -> None:
    drive = Drive(plan_of(effect("a", 1), timeout_minutes=5.0))
    assert drive.send("pause").code == "INVALID_STATUS"
    drive.begin()
    assert "deadline" in drive.state.timers


# --- cancelling and late messages


def test_cancels_what_waits_when_asked_to_while_paused() -> None:
    drive = Drive(plan_of(human("h", 1), step("b", 2, after=("h",)))).begin()
    drive.prepare("h")
    drive.send("pause")
    drive.decide("h", ANNA)
    assert drive.send("cancel_run", reason="no money").outcome == "accepted"
    assert (drive.state.status, drive.state.cancel_reason) == ("cancelled", "no money")
    assert (drive.state.pause, drive.state.kept) == (None, ())
    assert drive.kinds.count("decision_made") == 0


@pytest.mark.parametrize(
    ("verb", "body", "code"),
    [
        ("cancel_run", {}, "ALREADY_CANCELLED"),
        ("pause", {}, "INVALID_STATUS"),
        ("resume", {}, "INVALID_STATUS"),
        ("decide", {"step": "h", "decision": "approve"}, "TASK_CLOSED"),
        ("claim", {"step": "h"}, "TASK_CLOSED"),
        ("release", {"step": "h"}, "TASK_CLOSED"),
    ],
)
def test_refuses_and_records_a_message_when_the_run_is_finished(verb: str, body: Any, code: str) -> None:
    drive = Drive(plan_of(human("h", 1))).begin()
    drive.post(CancelRequested(at=drive.now))
    seq, steps = drive.state.seq, drive.state.steps
    assert drive.send(verb, ANNA, **body).code == code
    assert (drive.state.seq, drive.state.steps) == (seq + 1, steps), "the refusal is one more event, nothing else"
    assert drive.events[-1].data == {"verb": verb, "code": code}


def test_refuses_a_cancel_when_the_run_is_complete() -> None:
    drive = Drive(plan_of()).begin()
    drive.make_output()
    assert drive.send("cancel_run").code == "INVALID_STATUS"


def test_answers_a_checked_message_when_the_run_ended_meanwhile() -> None:
    drive = Drive(plan_of(human("h", 1), effect("a", 2))).begin()
    drive.prepare("h")
    message = message_of("decide", {"sub": "anna"}, step="h", decision="approve")
    drive.post(MessageReceived(at=drive.now, message=message, request="r", wants_answer=True))
    assert drive.last == (CheckMessage(request="r"),)
    drive.fail("a", kind="system")
    drive.post(MessageChecked(at=drive.now, request="r", outcome=OutcomeOfCheck(actor=ANNA)))
    answers = [command.verdict.code for command in drive.last if isinstance(command, Answer)]
    assert answers == ["TASK_CLOSED"]
    assert drive.state.requests == {}
    drive.post(MessageChecked(at=drive.now, request="r", outcome=OutcomeOfCheck(actor=ANNA)))
    assert drive.last == (), "one verdict, not two"


def test_records_an_unreadable_message_when_one_comes_and_goes_on() -> None:
    drive = Drive(plan_of(effect("a", 1))).begin()
    drive.post(MessageRefused(at=drive.now, verb="shout", code="INVALID_ACTION", reason="there is no such verb"))
    assert drive.events[-1].data == {"verb": "shout", "code": "INVALID_ACTION", "reason": "there is no such verb"}
    assert drive.statuses == {"a": "in_progress"}


# --- money


def test_pauses_before_the_step_and_waives_it_once_at_resume_when_it_is_too_dear() -> None:
    steps = (step("a", 1, cost=Decimal(5)), step("b", 2, after=("a",), cost=Decimal(3)))
    drive = Drive(plan_of(*steps, step("c", 3, after=("b",), cost=Decimal(1)), budget=budget("pause", 7))).begin()
    drive.report("a")
    assert (drive.state.status, drive.statuses["b"]) == ("paused", "pending")
    assert drive.state.pause is not None
    assert (drive.state.pause.cause, drive.state.pause.held_steps) == ("budget", ("b",))
    drive.send("resume")
    assert drive.started() == [("b", 1)]
    drive.report("b")
    assert drive.state.status == "paused", "the next one asks again"
    drive.send("resume")
    drive.report("c")
    drive.make_output()
    assert (drive.state.status, drive.state.cost) == ("completed", Decimal(9))


def test_fails_before_the_step_when_the_budget_says_so() -> None:
    drive = Drive(plan_of(step("a", 1, cost=Decimal(5)), budget=budget("fail", 4))).begin()
    assert drive.state.error is not None
    assert (drive.state.error.kind, drive.state.error.code) == ("business_rule", "RESOURCE_LIMIT_EXCEEDED")
    assert (drive.state.cost, drive.statuses) == (0, {"a": "cancelled"})


def test_warns_once_and_goes_on_when_the_budget_only_warns() -> None:
    drive = Drive(plan_of(effect("a", 1, cost=Decimal(5)), budget=budget("warn", 4))).begin()
    assert drive.started() == [("a", 1)]
    drive.fail("a")
    drive.fire("retry:a:1")
    assert drive.kinds.count("budget_exceeded") == 1


@pytest.mark.parametrize(("most", "status"), [(4, "in_progress"), (3, "paused")])
def test_counts_what_is_in_flight_when_steps_run_at_once(most: int, status: str) -> None:
    plan = plan_of(effect("a", 1, cost=Decimal(2)), effect("b", 2, cost=Decimal(2)), budget=budget("pause", most))
    assert Drive(plan).begin().state.status == status


def test_never_stops_a_free_step_when_the_budget_is_spent() -> None:
    plan = plan_of(step("a", 1, cost=Decimal(4)), step("b", 2, after=("a",), cost=Decimal(0)), budget=budget("fail", 4))
    drive = Drive(plan).begin()
    drive.report("a")
    assert drive.started() == [("b", 1)]


@pytest.mark.parametrize("make", [step, effect, human])
def test_asks_the_budget_only_when_the_condition_holds(make: Any) -> None:
    plan = plan_of(
        make("a", 1, has_condition=True, cost=Decimal(5)), step("b", 2, cost=Decimal(0)), budget=budget("pause", 4)
    )
    skipped = Drive(plan).begin()
    assert skipped.state.status == "in_progress"
    skipped.prepare("a", status="skipped", reason="no")
    assert (skipped.state.status, skipped.statuses["a"]) == ("in_progress", "skipped")
    held = Drive(plan).begin()
    held.prepare("a")
    assert (held.state.status, held.statuses["a"]) == ("paused", "in_progress")
    held.send("resume")
    assert held.state.status == "in_progress"
    assert held.statuses["a"] == ("waiting" if make is human else "in_progress")
    assert held.kinds.count("budget_exceeded") == 1


def test_keeps_a_requested_pause_when_a_dear_step_is_prepared_during_it() -> None:
    plan = plan_of(human("a", 1, has_condition=True, cost=Decimal(5)), budget=budget("pause", 4))
    drive = Drive(plan).begin()
    drive.send("pause", until=(drive.now + timedelta(minutes=5)).isoformat())
    drive.prepare("a")
    assert drive.state.pause is not None
    assert drive.state.pause.cause == "request"
    drive.fire("resume")
    assert drive.state.pause.cause == "budget", "the money is still a question of its own"

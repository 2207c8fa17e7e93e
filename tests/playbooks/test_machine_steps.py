"""Steps in the machine: begin, retry, skip, and the end of a run, one case a rule."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from playbooks.common.values import StepError
from playbooks.engine.model.commands import CancelStep, FinishRun, MakeOutput, Notify, PrepareStep, RunStep, StartTimer
from playbooks.engine.model.events import CancelRequested, OutputMade, RunStarted, StepReported
from playbooks.engine.model.plan import ApprovalPlan, Dependency, RetryPolicy
from playbooks.engine.model.temporal_messages import StepOutcome
from playbooks.engine.rules.retries import MAX_LOST
from tests.support.driver import Drive
from tests.support.plans import effect, human, person, plan_of, step

ANNA = person("anna", "approver")


def dependency(key: str, kind: Any) -> tuple[Dependency, ...]:
    return (Dependency(step=key, kind=kind),)


# --- order


@pytest.mark.parametrize(
    ("kind", "first", "second"),
    [
        ("sequential", "completed", "in_progress"),
        ("sequential", "skipped", "in_progress"),
        ("sequential", "failed", "in_progress"),
        ("conditional", "completed", "in_progress"),
        ("conditional", "skipped", "in_progress"),
        ("data", "completed", "in_progress"),
        ("data", "skipped", "skipped"),
        ("data", "failed", "skipped"),
    ],
)
def test_follows_the_dependency_kind_when_the_first_step_ends(kind: str, first: str, second: str) -> None:
    plan = plan_of(step("a", 1, critical=False), step("b", 2, dependencies=dependency("a", kind)))
    drive = Drive(plan).begin()
    assert drive.statuses["b"] == "pending"
    if first == "failed":
        drive.fail("a", kind="system")
    else:
        drive.report("a", status="skipped" if first == "skipped" else "succeeded", reason="it does not apply")
    assert drive.statuses == {"a": first, "b": second}


def test_runs_a_parallel_group_at_once_when_nothing_holds_it() -> None:
    plan = plan_of(
        step("a", 1), effect("b", 2, after=("a",)), effect("c", 3, after=("a",)), step("d", 4, after=("b", "c"))
    )
    drive = Drive(plan).begin()
    drive.report("a")
    assert drive.started() == [("b", 1), ("c", 1)]
    drive.report("c")
    assert drive.started() == []
    drive.report("b")
    assert drive.started() == [("d", 1)]


def test_skips_the_whole_chain_when_its_first_data_is_missing() -> None:
    plan = plan_of(
        step("a", 1),
        step("b", 2, dependencies=dependency("a", "data")),
        step("c", 3, dependencies=dependency("b", "data")),
        step("d", 4, after=("c",)),
    )
    drive = Drive(plan).begin()
    drive.report("a", status="skipped", reason="amount > 10 is false", values={"input.amount": 3})
    assert drive.statuses == {"a": "skipped", "b": "skipped", "c": "skipped", "d": "in_progress"}
    assert drive.step("a").reason == "amount > 10 is false"
    assert drive.step("a").values == {"input.amount": 3}
    assert drive.step("c").reason == "needs the output of step 'b', which is skipped"
    drive.report("d")
    assert drive.state.cost == Decimal(1), "a skipped step costs nothing"


def test_prepares_first_when_an_effect_has_a_condition() -> None:
    drive = Drive(plan_of(effect("a", 1, has_condition=True))).begin()
    assert drive.last == (PrepareStep(step="a", visit=1),)
    drive.prepare("a", input={"n": 1})
    assert drive.started() == [("a", 1)]
    assert drive.step("a").input == {"n": 1}


def test_never_runs_an_effect_when_its_condition_is_false() -> None:
    drive = Drive(plan_of(effect("a", 1, has_condition=True))).begin()
    drive.prepare("a", status="skipped", reason="no")
    assert drive.statuses == {"a": "skipped"}
    assert MakeOutput() in drive.last
    assert not any(isinstance(command, RunStep) for command in drive.commands)


def test_fails_when_a_preparation_fails() -> None:
    drive = Drive(plan_of(human("a", 1))).begin()
    error = StepError(kind="validation", code="VALIDATION_ERROR", message="no such path", pointer="/steps/x")
    drive.prepare("a", status="failed", error=error)
    assert (drive.state.status, drive.state.error) == ("failed", error)


def test_completes_with_its_output_when_every_step_is_done() -> None:
    drive = Drive(plan_of(step("a", 1))).begin()
    drive.report("a")
    assert drive.last == (MakeOutput(),)
    assert drive.state.status == "in_progress"
    drive.make_output({"a": 1})
    assert drive.last == (FinishRun(),)
    assert (drive.state.status, drive.state.output) == ("completed", {"a": 1})
    assert drive.kinds == ["run_started", "step_started", "step_completed", "run_completed"]


def test_fails_when_the_output_breaks_its_contract() -> None:
    drive = Drive(plan_of(step("a", 1))).begin()
    drive.report("a")
    drive.post(OutputMade(at=drive.now, error=StepError(kind="validation", code="CONTRACT", message="no")))
    assert drive.state.status == "failed"


def test_completes_at_once_when_there_are_no_steps() -> None:
    assert Drive(plan_of()).begin().last == (MakeOutput(),)


# --- retries


def test_backs_off_further_each_time_when_attempts_fail() -> None:
    policy = RetryPolicy(max_retries=3, initial_delay_ms=1_000, backoff_factor=3.0, max_delay_ms=5_000)
    drive = Drive(plan_of(effect("a", 1, retry=policy))).begin()
    delays: list[timedelta] = []
    for attempt in (2, 3, 4):
        drive.fail("a")
        delays.append(drive.state.timers["retry:a:1"] - drive.now)
        drive.fire("retry:a:1")
        assert drive.started() == [("a", attempt)]
    assert [delay.total_seconds() for delay in delays] == [1.0, 3.0, 5.0]
    drive.fail("a")
    assert drive.state.status == "failed"
    assert [attempt.error.code for attempt in drive.step("a").attempts if attempt.error] == ["HTTP_500"] * 4
    assert drive.state.error is not None
    assert drive.state.error.kind == "network"


@pytest.mark.parametrize("kind", ["validation", "permission", "not_found", "business_rule", "cancelled", "system"])
def test_does_not_try_again_when_the_kind_is_not_for_retrying(kind: str) -> None:
    drive = Drive(plan_of(effect("a", 1))).begin()
    drive.fail("a", kind=kind)
    assert drive.statuses == {"a": "failed"}
    assert drive.state.status == "failed"


@pytest.mark.parametrize(
    ("own", "of_run", "tries"), [(False, None, 2), (False, 0, 1), (False, 2, 3), (True, 0, 2)], ids=str
)
def test_takes_the_runs_retries_when_the_step_has_none_of_its_own(own: bool, of_run: int | None, tries: int) -> None:
    plan = plan_of(effect("a", 1, own_retry=own, retry=RetryPolicy(max_retries=1)))
    drive = Drive(plan, max_retries=of_run).begin()
    for _ in range(tries - 1):
        drive.fail("a")
        drive.fire("retry:a:1")
    drive.fail("a")
    assert drive.state.status == "failed"
    assert len(drive.step("a").attempts) == tries


@pytest.mark.parametrize(("wished", "seconds"), [(20_000, 20), (1, 1), (-5, 1), (10**18, 86_400)])
def test_honours_retry_after_within_a_day_when_it_is_longer_than_the_backoff(wished: int, seconds: float) -> None:
    drive = Drive(plan_of(effect("a", 1))).begin()
    drive.fail("a", retry_after_ms=wished)
    assert drive.state.timers["retry:a:1"] - drive.now == timedelta(seconds=seconds)


def test_sends_the_same_attempt_again_when_its_worker_vanished() -> None:
    drive = Drive(plan_of(effect("a", 1))).begin()
    for lost in range(1, MAX_LOST + 1):
        drive.lose("a")
        assert drive.started() == [("a", 1)]
        assert (len(drive.step("a").attempts), drive.step("a").attempts[0].lost) == (1, lost)
    drive.lose("a")
    assert drive.state.status == "failed"
    assert drive.state.error is not None
    assert drive.state.error.code == "WORKER_LOST"


def test_does_not_count_an_attempt_when_it_could_not_begin() -> None:
    drive = Drive(plan_of(effect("a", 1, retry=RetryPolicy(max_retries=0)))).begin()
    waits: list[float] = []
    for _ in range(6):
        drive.fail("a", kind="temporary_failure", code="NOT_STARTED")
        waits.append((drive.state.timers["retry:a:1"] - drive.now).total_seconds())
        drive.fire("retry:a:1")
        assert drive.started() == [("a", 1)]
    assert waits == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]
    drive.report("a")
    assert drive.statuses == {"a": "completed"}
    assert len(drive.step("a").attempts) == 1


def test_still_bears_a_lost_worker_when_the_attempt_could_not_begin_for_long() -> None:
    drive = Drive(plan_of(effect("a", 1))).begin()
    for _ in range(MAX_LOST + 1):
        drive.fail("a", kind="temporary_failure", code="NOT_STARTED")
        drive.fire("retry:a:1")
    drive.lose("a")
    attempt = drive.step("a").attempts[0]
    assert (drive.step("a").status, attempt.lost, attempt.not_started) == ("in_progress", 1, MAX_LOST + 1)


def test_ignores_an_attempt_that_waits_to_be_sent_again() -> None:
    drive = Drive(plan_of(effect("a", 1))).begin()
    drive.fail("a", code="NOT_STARTED")
    before = drive.state
    drive.report("a")
    drive.lose("a")
    assert drive.state == before


@pytest.mark.parametrize("attempt", [0, 1, 3])
def test_changes_nothing_when_an_answer_is_of_another_attempt(attempt: int) -> None:
    drive = Drive(plan_of(effect("a", 1))).begin()
    drive.fail("a")
    drive.fire("retry:a:1")
    before = drive.state
    assert drive.report("a", attempt=attempt) == ()
    assert drive.state == before


def test_goes_on_without_a_step_when_it_is_not_critical() -> None:
    drive = Drive(plan_of(effect("a", 1, critical=False), step("b", 2, after=("a",)))).begin()
    drive.fail("a", kind="permission")
    assert drive.statuses == {"a": "failed", "b": "in_progress"}
    drive.report("b")
    drive.make_output()
    assert (drive.state.status, drive.state.cost) == ("completed", Decimal(1))


def test_counts_the_cost_that_an_attempt_reports() -> None:
    drive = Drive(plan_of(effect("a", 1, cost=Decimal(3)))).begin()
    drive.report("a", cost=Decimal("0.25"))
    assert (drive.state.cost, drive.step("a").cost) == (Decimal("0.25"), Decimal("0.25"))


# --- timers and ends


def test_waits_until_its_instant_when_a_step_is_a_timer() -> None:
    drive = Drive(plan_of(step("a", 1, carrier="timer", worker_type="timer"))).begin()
    due = drive.now + timedelta(hours=2)
    drive.prepare("a", wait_until=due)
    assert next(command for command in drive.last if isinstance(command, StartTimer)).due == due
    assert drive.statuses == {"a": "waiting"}
    drive.fire("timer:a:1")
    assert drive.statuses == {"a": "completed"}
    assert drive.step("a").output == {"fired_at": due.isoformat()}


@pytest.mark.parametrize(("of_plan", "of_run", "minutes"), [(60.0, None, 60.0), (60.0, 5.0, 5.0), (None, 7.0, 7.0)])
def test_fails_with_timeout_when_the_deadline_passes(of_plan: Any, of_run: Any, minutes: float) -> None:
    plan = plan_of(effect("a", 1), step("b", 2, after=("a",)), timeout_minutes=of_plan)
    drive = Drive(plan, timeout_minutes=of_run).begin()
    assert drive.state.timers["deadline"] - drive.now == timedelta(minutes=minutes)
    drive.fire("deadline")
    assert CancelStep(step="a", visit=1) in drive.last
    assert drive.statuses == {"a": "cancelled", "b": "cancelled"}
    assert drive.state.error is not None
    assert (drive.state.status, drive.state.error.kind) == ("failed", "timeout")


def test_stops_everything_in_flight_when_one_of_a_group_fails() -> None:
    drive = Drive(plan_of(effect("a", 1), effect("b", 2), human("c", 3), step("d", 4, after=("a",)))).begin()
    drive.prepare("c")
    drive.fail("a", kind="system")
    cancelled = [command.step for command in drive.last if isinstance(command, CancelStep)]
    assert cancelled == ["b", "c"]
    assert drive.statuses == {"a": "failed", "b": "cancelled", "c": "cancelled", "d": "cancelled"}
    task = drive.task("c")
    assert (task.decision, task.closed_at) == (None, drive.now)
    assert drive.step("b").attempts[0].ended_at == drive.now
    assert drive.state.timers == {}
    assert drive.kinds[-2:] == ["step_failed", "run_failed"]


@pytest.mark.parametrize("is_cancelled", [True, False])
def test_absorbs_everything_when_the_run_is_finished(is_cancelled: bool) -> None:
    drive = Drive(plan_of(effect("a", 1), human("b", 2, approval=ApprovalPlan(window_minutes=1.0)))).begin()
    drive.prepare("b")
    if is_cancelled:
        drive.post(CancelRequested(at=drive.now, reason="enough"))
    else:
        drive.fail("a", kind="system")
    finished = drive.state
    drive.report("a", attempt=1)
    drive.lose("a")
    drive.prepare("b")
    drive.post(RunStarted(at=drive.now))
    drive.post(CancelRequested(at=drive.now))
    drive.make_output({"late": True})
    assert drive.state == finished
    assert not any(isinstance(command, RunStep) for command in drive.last)


def test_notifies_once_when_the_run_ends_and_was_asked_to() -> None:
    drive = Drive(plan_of(step("a", 1)), notification={"on_completion": True}).begin()
    drive.report("a")
    drive.make_output()
    notices = [command for command in drive.commands if isinstance(command, Notify)]
    assert [(notice.kind, notice.key) for notice in notices] == [
        ("run_finished", f"run_finished:{drive.state.execution_id}")
    ]


@pytest.mark.parametrize("notification", [None, {}, {"on_completion": False}])
def test_sends_no_notification_without_a_policy(notification: Any) -> None:
    drive = Drive(plan_of(step("a", 1)), notification=notification).begin()
    drive.post(CancelRequested(at=drive.now))
    assert not any(isinstance(command, Notify) for command in drive.commands)


def test_begins_nothing_when_it_was_cancelled_before_it_started() -> None:
    drive = Drive(plan_of(step("a", 1)))
    drive.post(CancelRequested(at=drive.now, reason="changed my mind"))
    drive.begin()
    assert (drive.state.status, drive.state.cancel_reason) == ("cancelled", "changed my mind")
    assert not any(isinstance(command, RunStep) for command in drive.commands)


# --- debug


def test_records_what_was_read_without_secrets_when_debugging() -> None:
    secret = effect("a", 1, sensitive_input=("/card",))
    drive = Drive(plan_of(secret, sensitive_input=("/person/ssn",)), debug=True).begin()
    values = {"input.person.ssn": "123", "input.person": {"ssn": "123"}, "input.amount": 3}
    drive.report("a", input={"card": "4111", "n": 1}, values=values)
    event = next(event for event in drive.events if event.kind == "step_evaluated")
    assert event.data == {
        "input": {"card": "***", "n": 1},
        "values": {"input.amount": 3, "input.person": "***", "input.person.ssn": "***"},
    }


def test_records_no_evaluation_when_not_debugging() -> None:
    drive = Drive(plan_of(effect("a", 1))).begin()
    drive.report("a", input={"n": 1}, values={"input.n": 1})
    assert "step_evaluated" not in drive.kinds


def test_asks_a_person_when_an_ai_is_not_sure() -> None:
    ai = effect("a", 1, step_type="ai", worker_type="scripted", required_roles=("approver",), cost=Decimal(2))
    drive = Drive(plan_of(ai)).begin()
    drive.report("a", output={"grade": 1}, confidence=0.4, confidence_source="model", needs_review=True)
    assert drive.statuses == {"a": "waiting"}
    assert drive.state.cost == 0
    drive.decide("a", ANNA, data={"grade": 5})
    assert drive.statuses == {"a": "completed"}
    assert (drive.step("a").output, drive.step("a").confidence, drive.state.cost) == ({"grade": 5}, 0.4, Decimal(2))


def test_takes_the_ais_answer_when_a_person_approves_it_as_it_is() -> None:
    ai = effect("a", 1, step_type="ai", worker_type="scripted", required_roles=("approver",))
    drive = Drive(plan_of(ai)).begin()
    drive.report("a", output={"grade": 1}, needs_review=True, cost=Decimal("0.25"))
    drive.decide("a", ANNA)
    assert drive.step("a").output == {"grade": 1}
    assert drive.state.cost == drive.step("a").cost == Decimal("0.25")


@pytest.mark.parametrize("decision", ["reject", "request_changes"])
def test_fails_when_a_person_does_not_accept_the_ais_answer(decision: str) -> None:
    ai = effect("a", 1, step_type="ai", worker_type="scripted", required_roles=("approver",))
    drive = Drive(plan_of(ai)).begin()
    drive.report("a", output={"grade": 1}, needs_review=True)
    drive.decide("a", ANNA, decision)
    assert drive.state.error is not None
    assert drive.state.error.code == "REVIEW_REJECTED"


@pytest.mark.parametrize(("action", "status"), [("approve", "completed"), ("timed_out", "failed"), ("fail", "failed")])
def test_takes_the_authors_choice_when_an_ai_is_not_reviewed(action: Any, status: str) -> None:
    rules = ApprovalPlan(window_minutes=5.0, on_timeout=action)
    drive = Drive(plan_of(effect("a", 1, step_type="ai", required_roles=("approver",), approval=rules))).begin()
    drive.report("a", output={"grade": 1}, needs_review=True)
    drive.fire("window:a:1")
    assert drive.statuses == {"a": status}


def test_reports_that_a_failure_gave_no_reason() -> None:
    drive = Drive(plan_of(effect("a", 1))).begin()
    drive.post(StepReported(at=drive.now, step="a", visit=1, attempt=1, outcome=StepOutcome(status="failed")))
    assert drive.state.error is not None
    assert (drive.state.error.kind, drive.state.error.code) == ("system", "INTERNAL_ERROR")

"""Signals, incidents, compensation and draining: one case a rule."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from playbooks.common.actors import asserted_actor
from playbooks.engine.model.commands import FinishRun, PrepareStep
from playbooks.engine.model.events import Continued, DrainRequested
from playbooks.engine.model.plan import ApprovalPlan, MutexPlan, PlanStep, RetryPolicy, SignalPlan
from playbooks.engine.model.temporal_messages import OutcomeOfCheck
from tests.support.driver import Drive
from tests.support.plans import effect, human, person, plan_of, step, undoing

ANNA = person("anna", "approver")
ONCE = RetryPolicy(max_retries=0)


def signal_wait(key: str, number: int, *names: str, **fields: Any) -> PlanStep:
    of_signal = {name: fields.pop(name) for name in ("keeps", "on_timeout", "has_contract") if name in fields}
    wait = SignalPlan(names=names, **of_signal)
    return step(key, number, carrier="signal", worker_type="signal_wait", signal=wait, **fields)


# --- signals


def test_message_ends_every_step_that_waits_for_it() -> None:
    drive = Drive(plan_of(signal_wait("a", 1, "go", "stop"), signal_wait("b", 2, "go"), signal_wait("c", 3, "other")))
    drive.begin()
    for key in "abc":
        drive.prepare(key)
    verdict = drive.send("signal", name="go", payload=[1])
    assert verdict.data == {"delivered_to": ["a", "b"], "kept": False}
    assert drive.step("a").output == {
        "signal": "go",
        "payload": [1],
        "received_at": drive.now.isoformat(),
        "timed_out": False,
    }
    assert drive.statuses["c"] == "waiting"


@pytest.mark.parametrize(("keeps", "status"), [(True, "completed"), (False, "waiting")])
def test_early_message_counts_when_the_step_keeps_such(*, keeps: bool, status: str) -> None:
    drive = Drive(plan_of(effect("a", 1), signal_wait("b", 2, "go", after=("a",), keeps=keeps))).begin()
    assert drive.send("signal", name="go").data == {"delivered_to": [], "kept": keeps}
    drive.report("a")
    drive.prepare("b")
    assert drive.statuses["b"] == status
    assert drive.state.signals == ()


def test_message_is_checked_when_a_step_that_may_take_it_has_a_contract() -> None:
    waits = signal_wait("a", 1, "go", "stop"), signal_wait("b", 2, "go", has_contract=True)
    drive = Drive(plan_of(*waits)).begin()
    for key in "ab":
        drive.prepare(key)
    who = asserted_actor(drive.state.organization_id, None)
    wrong = OutcomeOfCheck(actor=who, code="CONTRACT_VALIDATION_FAILED", detail="no", errors=({"pointer": "/payload"},))
    verdict = drive.send("signal", name="go", payload=1, check=wrong)
    assert (verdict.code, verdict.errors) == ("CONTRACT_VALIDATION_FAILED", ({"pointer": "/payload"},))
    assert (drive.statuses, drive.state.signals) == ({"a": "waiting", "b": "waiting"}, ())
    right = drive.send("signal", name="go", payload=2, check=OutcomeOfCheck(actor=who))
    assert right.data == {"delivered_to": ["a", "b"], "kept": False}
    drive = Drive(plan_of(*waits)).begin()
    drive.prepare("a")
    assert drive.send("signal", name="stop", check=wrong).data == {"delivered_to": ["a"], "kept": False}


def test_message_takes_effect_at_resume_when_the_run_is_paused() -> None:
    drive = Drive(plan_of(signal_wait("a", 1, "go", keeps=False))).begin()
    drive.prepare("a")
    drive.send("pause")
    assert drive.send("signal", name="go").data == {"delivered_to": [], "kept": True}
    assert drive.statuses["a"] == "waiting"
    drive.send("resume")
    assert drive.statuses["a"] == "completed"


@pytest.mark.parametrize(("payload", "kept"), [("x", 100), ("x" * 60_000, 16)])
def test_message_is_refused_when_the_run_keeps_as_much_as_it_may(payload: str, kept: int) -> None:
    drive = Drive(plan_of(effect("a", 1), signal_wait("b", 2, "go", after=("a",)))).begin()
    for _ in range(kept):
        assert drive.send("signal", name="go", payload=payload).outcome == "accepted"
    assert drive.send("signal", name="go", payload=payload).code == "RESOURCE_LIMIT_EXCEEDED"
    assert len(drive.state.signals) == kept


@pytest.mark.parametrize(("on_timeout", "status"), [("continue", "completed"), ("fail", "failed")])
def test_timeout_is_reported_or_fails_when_no_message_comes(on_timeout: str, status: str) -> None:
    drive = Drive(plan_of(signal_wait("a", 1, "go", on_timeout=on_timeout))).begin()
    drive.prepare("a", wait_until=drive.now + timedelta(minutes=1))
    drive.fire("signal:a:1")
    assert drive.statuses["a"] == status
    if status == "completed":
        assert drive.step("a").output == {"signal": None, "payload": None, "received_at": None, "timed_out": True}


# --- regions


def test_region_waits_until_the_other_one_has_ended() -> None:
    def member(key: str, number: int, region: str, after: tuple[str, ...] = ()) -> PlanStep:
        return effect(key, number, after=after, mutex=MutexPlan(name="lab", region=region))

    plan = plan_of(member("a1", 1, "a"), member("b", 2, "b"), member("a2", 3, "a", ("a1",)))
    drive = Drive(plan).begin()
    assert drive.statuses == {"a1": "in_progress", "b": "pending", "a2": "pending"}
    drive.report("a1")
    assert drive.statuses == {"a1": "completed", "b": "pending", "a2": "in_progress"}, "its region has not ended"
    drive.report("a2")
    assert drive.statuses["b"] == "in_progress"


# --- incidents


def incident() -> Drive:
    call = effect("a", 1, retry=RetryPolicy(max_retries=1, initial_delay_ms=0), on_error="incident")
    drive = Drive(plan_of(call, step("b", 2, after=("a",)))).begin()
    drive.fail("a")
    drive.fire("retry:a:1")
    drive.fail("a")
    assert (drive.statuses["a"], drive.step("a").incident_at) == ("waiting", drive.now)
    return drive


def test_incident_is_retried_with_all_its_attempts_on_request() -> None:
    drive = incident()
    drive.send("retry_step", ANNA, step="a")
    assert drive.started() == [("a", 3)]
    drive.fail("a")
    assert "retry:a:1" in drive.state.timers, "the attempts before do not count"


@pytest.mark.parametrize(
    ("verb", "status", "follows"),
    [("skip_step", "skipped", "in_progress"), ("complete_step", "completed", "in_progress")],
)
def test_run_goes_on_when_an_incident_is_skipped_or_completed(verb: str, status: str, follows: str) -> None:
    drive = incident()
    drive.send(verb, ANNA, step="a", output={"n": 1})
    assert (drive.statuses, drive.step("a").output) == ({"a": status, "b": follows}, {"n": 1})


def test_retried_task_is_opened_anew_after_its_window() -> None:
    rules = ApprovalPlan(window_minutes=1, on_timeout="fail")
    drive = Drive(plan_of(human("h", 1, approval=rules, on_error="incident"))).begin()
    drive.prepare("h")
    first = drive.task("h").id
    drive.fire("window:h:1")
    assert drive.step("h").incident_at is not None
    drive.send("retry_step", ANNA, step="h")
    assert drive.last[-1] == PrepareStep(step="h", visit=2)
    drive.prepare("h")
    assert drive.task("h").id != first
    assert drive.decide("h", ANNA).outcome == "accepted"
    assert [(each.key, each.visit, each.status) for each in drive.state.past] == [("h", 1, "failed")]


def test_signal_is_waited_for_again_when_its_timeout_became_an_incident() -> None:
    drive = Drive(plan_of(signal_wait("a", 1, "go", on_timeout="fail", on_error="incident"))).begin()
    drive.prepare("a", wait_until=drive.now + timedelta(minutes=1))
    drive.fire("signal:a:1")
    drive.send("retry_step", ANNA, step="a")
    drive.prepare("a")
    drive.send("signal", name="go")
    assert drive.statuses["a"] == "completed"


def test_run_fails_with_the_error_when_an_incident_is_failed() -> None:
    drive = incident()
    drive.send("fail_step", ANNA, step="a")
    assert drive.state.error is not None
    assert (drive.state.status, drive.state.error.code) == ("failed", "HTTP_500")


@pytest.mark.parametrize(
    ("verb", "key", "who", "code"),
    [
        ("retry_step", "b", ANNA, "INVALID_STEP_STATE"),
        ("skip_step", "nowhere", ANNA, "NOT_FOUND"),
        ("complete_step", "a", person("zoe"), "NOT_ELIGIBLE"),
    ],
)
def test_intervention_is_refused_when_state_or_roles_forbid_it(verb: str, key: str, who: Any, code: str) -> None:
    drive = Drive(plan_of(effect("a", 1, required_roles=("approver",)), step("b", 2, after=("a",)))).begin()
    verdict = drive.send(verb, who, step=key)
    assert (verdict.outcome, verdict.code) == ("refused", code)
    assert drive.statuses == {"a": "in_progress", "b": "pending"}


# --- compensation


def undoable(**fields: Any) -> Drive:
    plan = plan_of(
        step("a", 1),
        step("b", 2, after=("a",)),
        effect("c", 3, after=("b",), retry=ONCE, **fields),
        compensations=(undoing("a", 1), undoing("b", 2, retry=ONCE)),
    )
    drive = Drive(plan).begin()
    drive.report("a")
    drive.report("b")
    return drive


@pytest.mark.parametrize("how", ["cancel", "error"])
def test_completed_steps_are_undone_in_reverse_before_the_run_ends(how: str) -> None:
    drive = undoable(on_error="compensate")
    if how == "cancel":
        drive.send("cancel_run", reason="no money")
    else:
        drive.fail("c")
    assert (drive.state.status, drive.statuses["c"]) == ("in_progress", "cancelled" if how == "cancel" else "failed")
    assert drive.started() == [("b!undo", 1)]
    assert drive.send("pause").code == "INVALID_STATUS"
    drive.report("b!undo")
    assert drive.started() == [("a!undo", 1)]
    drive.report("a!undo")
    assert FinishRun() in drive.last
    assert drive.state.status == ("cancelled" if how == "cancel" else "failed")


def test_rest_is_undone_when_one_undoing_fails() -> None:
    drive = undoable()
    drive.send("cancel_run")
    drive.fail("b!undo")
    assert drive.started() == [("a!undo", 1)]
    drive.report("a!undo")
    assert drive.state.status == "cancelled"
    assert "compensation_failed" in drive.kinds


def test_nothing_is_undone_when_a_step_just_fails() -> None:
    drive = undoable()
    drive.fail("c")
    assert drive.state.status == "failed"
    assert "compensation_started" not in drive.kinds


# --- draining


def test_nothing_begins_while_a_run_drains_and_everything_after() -> None:
    drive = Drive(plan_of(effect("a", 1), effect("b", 2, after=("a",)), human("h", 3))).begin()
    drive.post(DrainRequested(at=drive.now))
    drive.report("a")
    assert drive.last == ()
    drive.prepare("h")
    assert drive.statuses == {"a": "completed", "b": "pending", "h": "in_progress"}
    drive.post(Continued(at=drive.now))
    assert drive.statuses == {"a": "completed", "b": "in_progress", "h": "waiting"}
    assert not any(isinstance(command, PrepareStep) for command in drive.last), "it was prepared already"

"""Steps that run another playbook, in the machine: waiting, notification, cancellation."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from playbooks.common import ids
from playbooks.common.values import StepError
from playbooks.engine.model.commands import Answer, CancelChild, ReadChild, RunStep
from playbooks.engine.model.control_messages import MalformedMessage, read_message
from playbooks.engine.model.events import CancelRequested, ChildRead, LoopEvaluated, StepReported
from playbooks.engine.model.plan import BackPlan, ChildPlan, ForEachPlan, JoinPlan, Plan, RetryPolicy
from playbooks.engine.model.temporal_messages import LoopOutcome, OutcomeOfCheck, StepOutcome
from tests.support.driver import Drive
from tests.support.plans import EXECUTION, INITIATOR, ORGANIZATION, child, effect, person, plan_of, step, undoing

SERVICE = person("service")


def child_id(key: str = "c", visit: int = 1, again: int = 0) -> UUID:
    return ids.child_execution_id(ORGANIZATION, ids.effect_key(EXECUTION, key, visit, again))


def chain(**fields: Any) -> Plan:
    return plan_of(child("c", 1, **fields), step("b", 2, after=("c",)))


def waiting(**fields: Any) -> Drive:
    """A run that waits for its child."""
    run = Drive(chain(**fields)).begin()
    run.report("c", output={"execution_id": str(child_id()), "status": "started"})
    assert run.last[-1] == ReadChild(step="c", visit=1)
    return run


def look(run: Drive, status: Any = "succeeded", key: str = "c", visit: int = 1, **outcome: Any) -> None:
    run.post(ChildRead(at=run.now, step=key, visit=visit, outcome=StepOutcome(status=status, **outcome)))


def failed(code: str = "CHILD_FAILED") -> StepError:
    return StepError(kind="business_rule", code=code, message="it failed")


def notify(run: Drive, who: Any = SERVICE, **body: Any) -> Any:
    fields = {"step": "c", "visit": 1, "execution_id": str(child_id()), **body}
    return run.send("child_ended", who, check=OutcomeOfCheck(actor=who, code=None if who else "UNAUTHORIZED"), **fields)


def test_is_done_at_once_when_it_does_not_wait() -> None:
    run = Drive(chain(waits=False)).begin()
    run.report("c", output={"execution_id": str(child_id()), "status": "started"})
    assert (run.step("c").status, run.step("c").child) == ("completed", child_id())
    assert run.step("c").output == {"execution_id": str(child_id()), "status": "started"}
    assert run.started() == [("b", 1)]


def test_waits_until_the_child_is_seen_to_have_ended_when_it_has_not_yet() -> None:
    run = waiting()
    look(run, "ready")
    assert (run.step("c").status, run.step("c").child, run.step("c").output) == ("waiting", child_id(), None)
    assert run.last == ()
    assert notify(run).outcome == "accepted"
    assert ReadChild(step="c", visit=1) in run.last
    look(run, output={"status": "completed", "output": 1})
    assert (run.step("c").status, run.step("c").output) == ("completed", {"status": "completed", "output": 1})
    assert run.started() == [("b", 1)]
    assert "child_started" in run.kinds


def test_counts_an_end_once_when_it_is_reported_and_read_twice() -> None:
    run = waiting()
    notify(run)
    notify(run)
    look(run, output=1)
    look(run, output=2)
    assert run.step("c").output == 1
    assert notify(run).outcome == "refused"
    assert "message_refused" not in run.kinds, "late is no fault"


@pytest.mark.parametrize("body", [{"step": "b"}, {"step": "nowhere"}, {"visit": 2}, {"execution_id": UUID(int=9)}])
def test_changes_nothing_when_another_child_or_visit_is_meant(body: dict[str, Any]) -> None:
    run = waiting()
    assert notify(run, **body).outcome == "refused"
    assert [type(command) for command in run.last] == [Answer]
    assert run.step("c").status == "waiting"


def test_is_refused_and_recorded_when_the_service_did_not_send_it() -> None:
    run = waiting()
    assert notify(run, None).code == "UNAUTHORIZED"
    assert run.kinds[-1] == "message_refused"
    assert run.step("c").status == "waiting"


@pytest.mark.parametrize("verb", ["child_ended", "concurrency_free"])
def test_cannot_be_read_when_a_message_of_the_service_has_no_signature(verb: str) -> None:
    found = read_message(verb, [{"step": "c"} if verb == "child_ended" else {}])
    assert isinstance(found, MalformedMessage)
    assert found.code == "UNAUTHORIZED"


@pytest.mark.parametrize("code", ["CHILD_FAILED", "CHILD_CANCELLED"])
def test_fails_without_a_retry_when_the_child_did_not_complete(code: str) -> None:
    everything = RetryPolicy(max_retries=9, retry_on_errors=("business_rule", "timeout"))
    run = waiting(retry=everything)
    look(run, "failed", error=failed(code))
    assert (run.state.status, run.state.error) == ("failed", failed(code))
    assert len(run.step("c").attempts) == 1


def test_goes_on_when_the_child_failed_and_the_step_is_not_critical() -> None:
    run = waiting(critical=False)
    look(run, "failed", error=failed())
    assert run.statuses == {"c": "failed", "b": "in_progress"}


def test_starts_another_child_when_an_incident_is_retried() -> None:
    run = waiting(on_error="incident")
    look(run, "failed", error=failed())
    assert run.step("c").incident_at is not None
    look(run, output="late")
    assert run.step("c").status == "waiting"
    run.send("retry_step", INITIATOR, step="c")
    assert run.started() == [("c", 2)]
    run.report("c")
    assert run.step("c").child == child_id(again=1) != child_id()
    look(run, output=1)
    assert run.step("c").status == "completed"


def test_starts_another_child_when_the_step_is_visited_again() -> None:
    run = Drive(plan_of(child("c", 1, repeat=BackPlan(step="c", max=2)), step("b", 2, after=("c",)))).begin()
    run.report("c")
    first = run.step("c").child
    look(run, output=1)
    run.post(LoopEvaluated(at=run.now, step="c", visit=1, outcome=LoopOutcome(holds=True)))
    assert RunStep(step="c", visit=2, attempt=1) in run.last
    done = StepOutcome(status="succeeded")
    run.post(StepReported(at=run.now, step="c", visit=2, attempt=1, outcome=done))
    assert run.step("c").child == child_id(visit=2) != first
    look(run, output="of the first visit")
    assert run.step("c").status == "waiting"


def lets_go(run: Drive, key: str = "c") -> list[UUID]:
    return [command.child for command in run.last if isinstance(command, CancelChild) and command.step == key]


def test_passes_a_cancel_down_when_the_run_is_cancelled() -> None:
    run = waiting()
    run.send("cancel_run", INITIATOR)
    assert lets_go(run) == [child_id()]
    assert (run.state.status, run.step("c").status) == ("cancelled", "cancelled")


@pytest.mark.parametrize("is_temporal", [True, False])
def test_passes_a_cancel_down_when_time_is_over_or_temporal_cancels(is_temporal: bool) -> None:
    run = Drive(chain(), timeout_minutes=5.0).begin()
    run.report("c")
    if is_temporal:
        run.post(CancelRequested(at=run.now))
    else:
        run.fire("deadline")
    assert lets_go(run) == [child_id()]


def test_passes_a_cancel_down_when_a_start_is_on_its_way() -> None:
    run = Drive(chain()).begin()
    run.send("cancel_run", INITIATOR)
    assert lets_go(run) == [child_id()]


def test_leaves_a_child_alone_when_its_step_does_not_wait_or_never_began() -> None:
    run = Drive(chain(waits=False)).begin()
    run.send("cancel_run", INITIATOR)
    assert lets_go(run) == []
    run = Drive(plan_of(step("a", 1), child("c", 2, after=("a",)))).begin()
    run.send("cancel_run", INITIATOR)
    assert lets_go(run) == []


@pytest.mark.parametrize("verb", ["skip_step", "complete_step", "fail_step"])
def test_passes_a_cancel_down_when_the_step_is_ended_by_hand(verb: str) -> None:
    run = waiting(critical=False)
    assert run.send(verb, INITIATOR, step="c").outcome == "accepted"
    assert lets_go(run) == [child_id()]
    look(run, output="late")
    assert run.step("c").output is None


def test_passes_a_cancel_down_when_a_join_does_not_need_it_any_more() -> None:
    plan = plan_of(
        child("c", 1), effect("e", 2), step("j", 3, after=("c", "e"), join=JoinPlan(needed=1, cancels_others=True))
    )
    run = Drive(plan).begin()
    run.report("c")
    run.report("e")
    assert lets_go(run) == [child_id()]
    assert run.statuses == {"c": "cancelled", "e": "completed", "j": "in_progress"}


def test_fails_and_passes_a_cancel_down_when_the_child_takes_too_long() -> None:
    run = waiting(child=ChildPlan(code="other", timeout_seconds=60.0))
    run.fire("child:c:1")
    assert lets_go(run) == [child_id()]
    assert run.state.error is not None
    assert (run.state.error.kind, run.state.error.code) == ("timeout", "STEP_TIMEOUT")


def test_stops_its_clock_when_the_child_ends_in_time() -> None:
    run = waiting(child=ChildPlan(code="other", timeout_seconds=60.0))
    look(run, output=1)
    assert run.state.timers == {}


@pytest.mark.parametrize(("kind", "may_exist"), [("timeout", True), ("system", True), ("validation", False)])
def test_cancels_what_may_have_been_started_when_no_start_succeeded(kind: Any, may_exist: bool) -> None:
    run = Drive(chain(retry=RetryPolicy(max_retries=0))).begin()
    run.fail("c", kind)
    assert lets_go(run) == ([child_id()] if may_exist else [])


def test_takes_a_childs_end_while_paused_and_begins_nothing_until_resumed() -> None:
    run = waiting()
    run.send("pause", INITIATOR)
    look(run, output=1)
    assert run.step("c").status == "completed"
    assert run.started() == []
    run.send("resume", INITIATOR)
    assert run.started() == [("b", 1)]


def test_has_a_child_for_each_item_when_it_goes_over_a_list() -> None:
    plan = plan_of(child("c", 1, for_each=ForEachPlan(max_concurrency=2)))
    run = Drive(plan).begin()
    run.prepare("c", items=["x", "y"], item_count=2)
    run.report("c[0]")
    run.report("c[1]")
    assert [run.step(f"c[{index}]").child for index in range(2)] == [child_id("c[0]"), child_id("c[1]")]
    look(run, key="c[0]", output="one")
    assert run.state.loops["c"].results == {"0": "one"}
    run.send("cancel_run", INITIATOR)
    assert lets_go(run, "c[1]") == [child_id("c[1]")]


def test_receives_the_end_of_a_child_that_compensates() -> None:
    undo = undoing("e", 1, carrier="child", worker_type="sub_playbook", child=ChildPlan(code="other"))
    run = Drive(plan_of(effect("e", 1), effect("f", 2, after=("e",)), compensations=(undo,))).begin()
    run.report("e")
    run.send("cancel_run", INITIATOR)
    assert run.started() == [("e!undo", 1)]
    run.report("e!undo")
    fields = {"step": "e!undo", "execution_id": str(child_id("e!undo"))}
    assert notify(run, **fields).outcome == "accepted"
    look(run, key="e!undo", output=1)
    assert run.state.status == "cancelled"

"""Joins, items, loops and ways back: one case a rule."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from playbooks.engine.model.commands import CancelStep, CollectItems, EvaluateLoop, OpenTask, RunStep
from playbooks.engine.model.plan import ApprovalPlan, BackPlan, BudgetPlan, ForEachPlan, JoinPlan, PlanStep, RetryPolicy
from playbooks.engine.model.state import RunState
from tests.support.driver import Drive
from tests.support.plans import effect, human, person, plan_of, step

ANNA = person("anna", "approver")
BEN = person("ben", "approver")
ONCE = RetryPolicy(max_retries=0)


def past(state: RunState) -> list[tuple[str, int, str]]:
    return [(each.key, each.visit, each.status) for each in state.past]


# --- joins


@pytest.mark.parametrize(
    ("needed", "first", "second"), [(1, "in_progress", "in_progress"), (2, "pending", "in_progress")]
)
def test_join_begins_when_enough_steps_are_completed(needed: int, first: str, second: str) -> None:
    join = step("j", 4, after=("a", "b", "c"), join=JoinPlan(needed=needed))
    drive = Drive(plan_of(effect("a", 1), effect("b", 2), effect("c", 3), join)).begin()
    drive.report("b")
    assert drive.statuses["j"] == first
    drive.report("c")
    assert drive.statuses["j"] == second
    assert drive.statuses["a"] == "in_progress"


def test_join_is_skipped_when_too_few_steps_can_be_completed() -> None:
    join = step("j", 3, after=("a", "b"), join=JoinPlan(needed=2))
    drive = Drive(plan_of(effect("a", 1), effect("b", 2, critical=False, retry=ONCE), join)).begin()
    drive.fail("b")
    assert drive.statuses == {"a": "in_progress", "b": "failed", "j": "skipped"}
    assert drive.step("j").reason == "needs 2 completed steps before it, and only 0 are"


def test_join_cancels_what_leads_to_nothing_else_when_it_begins() -> None:
    """`c` leads to the join alone and is cancelled with `d` before it; `a` also leads to `e`, so it goes on."""
    plan = plan_of(
        effect("a", 1),
        effect("b", 2),
        effect("d", 3),
        effect("c", 4, after=("d",)),
        step("j", 5, after=("a", "b", "c"), join=JoinPlan(needed=1, cancels_others=True)),
        step("e", 6, after=("a",)),
    )
    drive = Drive(plan).begin()
    drive.report("b")
    assert drive.statuses == {
        "a": "in_progress",
        "b": "completed",
        "d": "cancelled",
        "c": "cancelled",
        "j": "in_progress",
        "e": "pending",
    }
    assert CancelStep(step="d", visit=1) in drive.last
    assert drive.report("d") == (), "a report of a cancelled step is ignored"


# --- items


def loop(**rules: Any) -> PlanStep:
    return effect("each", 1, for_each=ForEachPlan(**rules), retry=ONCE)


def test_items_begin_so_many_at_once_and_the_step_ends_with_the_last_one() -> None:
    drive = Drive(plan_of(loop(max_concurrency=2), step("b", 2, after=("each",)))).begin()
    drive.open("each", "x", "y", "z")
    assert drive.started() == [("each[0]", 1), ("each[1]", 1)]
    assert [drive.step(f"each[{n}]").item for n in (0, 1)] == ["x", "y"]
    drive.report("each[1]", output="Y")
    assert drive.started() == [("each[2]", 1)]
    drive.report("each[0]", output="X")
    drive.report("each[2]", output="Z")
    assert drive.last == (CollectItems(step="each", visit=1),)
    assert drive.state.loops["each"].results == {"0": "X", "1": "Y", "2": "Z"}
    drive.collect("each")
    assert drive.statuses == {"each": "completed", "b": "in_progress"}
    assert drive.state.loops == {}
    assert past(drive.state) == [("each[1]", 1, "completed"), ("each[0]", 1, "completed"), ("each[2]", 1, "completed")]
    assert drive.state.cost == 3, "each item has its price, the loop has none"


def test_loop_is_done_at_once_when_there_is_no_item() -> None:
    drive = Drive(plan_of(loop())).begin()
    assert drive.open("each") == (CollectItems(step="each", visit=1),)


@pytest.mark.parametrize(("cancels", "left"), [(True, []), (False, ["each[1]", "each[2]"])])
def test_loop_ends_when_enough_items_are_completed(*, cancels: bool, left: list[str]) -> None:
    drive = Drive(plan_of(loop(max_concurrency=2, enough=1, cancels_others=cancels), step("b", 2, after=("each",))))
    drive.begin().open("each", 1, 2, 3)
    drive.report("each[0]")
    drive.collect("each")
    assert drive.statuses["b"] == "in_progress"
    drive.report("b")
    assert [key for key in drive.statuses if "[" in key] == left
    for key in left:
        drive.report(key)
    assert drive.state.is_making_output, "a run ends after its last item, also without a dependent step"


def test_loop_ends_when_its_condition_holds() -> None:
    drive = Drive(plan_of(loop(max_concurrency=1, has_condition=True))).begin()
    drive.open("each", 1, 2, 3)
    drive.report("each[0]")
    assert EvaluateLoop(step="each", visit=1) in drive.last
    drive.test("each", holds=False)
    drive.report("each[1]")
    assert drive.test("each", holds=True)[-1] == CollectItems(step="each", visit=1)
    assert past(drive.state)[-1] == ("each[2]", 1, "cancelled")


def test_loop_fails_when_more_items_fail_than_are_tolerated() -> None:
    drive = Drive(plan_of(loop(max_concurrency=3, tolerated_failures=1))).begin()
    drive.open("each", 1, 2, 3)
    drive.fail("each[0]")
    assert drive.statuses["each"] == "in_progress"
    drive.fail("each[1]")
    assert drive.state.status == "failed"
    assert drive.state.error is not None
    assert drive.state.error.code == "ITEMS_FAILED"
    assert past(drive.state)[-1] == ("each[2]", 1, "cancelled")


def test_item_waits_for_the_resume_when_it_would_exceed_the_budget() -> None:
    budget = BudgetPlan(max_cost=step("x", 1).cost * 2, currency="USD")
    drive = Drive(plan_of(loop(max_concurrency=5), budget=budget)).begin()
    drive.open("each", 1, 2, 3, 4)
    assert drive.started() == [("each[0]", 1), ("each[1]", 1)]
    assert drive.state.status == "paused"
    drive.send("resume")
    assert drive.started() == [("each[2]", 1)], "the held item was waived, the next one is over the budget again"


# --- ways back


def test_step_is_done_again_while_its_condition_holds() -> None:
    repeat = BackPlan(step="a", max=3)
    drive = Drive(plan_of(step("a", 1, repeat=repeat), step("b", 2, after=("a",)))).begin()
    drive.report("a")
    assert drive.last == (EvaluateLoop(step="a", visit=1),)
    assert drive.statuses == {"a": "in_progress", "b": "pending"}
    assert drive.test("a", holds=True) == (RunStep(step="a", visit=2, attempt=1),)
    drive.report("a")
    drive.test("a", holds=True)
    drive.report("a")
    assert drive.statuses == {"a": "completed", "b": "in_progress"}, "the third visit is the last, without a condition"
    assert past(drive.state) == [("a", 1, "completed"), ("a", 2, "completed")]
    assert (drive.step("a").line, drive.state.cost) == (100_002, 3)


def test_all_steps_of_a_loop_are_done_again_when_it_begins_earlier() -> None:
    repeat = BackPlan(step="a", max=2)
    plan = plan_of(
        step("a", 1), step("b", 2, after=("a",), repeat=repeat), step("other", 3), step("c", 4, after=("b",))
    )
    drive = Drive(plan).begin()
    drive.report("a")
    drive.report("b")
    drive.test("b", holds=True)
    assert [(drive.step(key).visit, drive.step(key).status) for key in ("a", "b", "other")] == [
        (2, "in_progress"),
        (2, "pending"),
        (1, "in_progress"),
    ]


def test_repeat_waits_for_its_delay_when_it_has_one() -> None:
    drive = Drive(plan_of(step("a", 1, repeat=BackPlan(step="a", max=2, delay_seconds=60)))).begin()
    drive.report("a")
    drive.test("a", holds=True)
    assert drive.state.timers == {"repeat:a:1": drive.now + timedelta(minutes=1)}
    assert drive.fire("repeat:a:1") == (RunStep(step="a", visit=2, attempt=1),)


def returning(limit: int) -> PlanStep:
    rules = ApprovalPlan(returns=BackPlan(step="draft", max=limit, on=("changes_requested",)))
    return human("check", 2, after=("draft",), approval=rules)


def test_run_goes_back_when_a_person_sends_it_and_forgets_no_vote() -> None:
    drive = Drive(plan_of(step("draft", 1), returning(2))).begin()
    drive.report("draft")
    drive.prepare("check")
    drive.decide("check", ANNA, "request_changes")
    assert past(drive.state) == [("draft", 1, "completed"), ("check", 1, "completed")]
    drive.report("draft")
    drive.prepare("check")
    assert OpenTask(step="check", visit=2) in drive.last
    assert drive.decide("check", ANNA).outcome == "accepted", "a new visit is a new task: its votes are new"
    assert drive.state.past[1].task is not None
    assert drive.state.past[1].task.votes[0].choice == "request_changes"


def test_run_fails_when_it_is_sent_back_too_often() -> None:
    drive = Drive(plan_of(step("draft", 1), returning(1))).begin()
    drive.report("draft")
    drive.prepare("check")
    drive.decide("check", ANNA, "request_changes")
    assert drive.state.error is not None
    assert (drive.state.status, drive.state.error.code) == ("failed", "LOOP_LIMIT")


def test_run_jumps_to_the_named_step_when_a_step_fails() -> None:
    goto = BackPlan(step="end", max=2)
    failing = effect("a", 1, retry=ONCE, on_error="goto", goto=goto)
    drive = Drive(
        plan_of(failing, step("b", 2, after=("a",)), step("c", 3, after=("b",)), step("end", 4, after=("c",)))
    )
    drive.begin().fail("a")
    assert drive.statuses == {"a": "failed", "b": "skipped", "c": "skipped", "end": "in_progress"}


def test_run_fails_with_the_error_when_it_may_not_go_back_again() -> None:
    failing = effect("b", 2, after=("a",), retry=ONCE, on_error="goto", goto=BackPlan(step="a", max=2))
    drive = Drive(plan_of(step("a", 1), failing)).begin()
    for _ in range(2):
        drive.report("a")
        drive.fail("b", code="HTTP_503")
    assert drive.state.error is not None
    assert (drive.state.status, drive.state.error.code) == ("failed", "HTTP_503")

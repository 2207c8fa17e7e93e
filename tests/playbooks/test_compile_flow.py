"""Control flow: a row for each rule that a document can break, and the plans of correct documents."""

from __future__ import annotations

from typing import Any

import pytest

from playbooks.common.errors import PlaybooksError
from playbooks.engine.activity_inputs import step_call
from playbooks.engine.model.plan import BackPlan, ForEachPlan, JoinPlan, MutexPlan, PlanStep, SignalPlan
from tests.playbooks.building import Document, compiled, found, human, plan_of, playbook, system
from tests.support.driver import Drive

BOTH = [{"depends_on": "a"}, {"depends_on": "b"}]
UNDO: Document = {"step_type": "system", "worker_type": "data_processor"}


def chain(**fields: Any) -> Document:
    """Three steps, one after the other; the fields are the last one's."""
    return playbook(system(1, "A"), system(2, "B"), system(3, "C", **fields))


def joined(**join: Any) -> Document:
    return chain(dependencies=BOTH, join=join)


def approved(**approval: Any) -> Document:
    return playbook(system(1, "A"), human(2, "B", approval=approval), system(3, "C"))


def waiting(**config: Any) -> Document:
    return chain(worker_type="signal_wait", config=config)


def regions(first: Any, second: Any, third: Any) -> Document:
    return playbook(system(1, "A", mutex=first), system(2, "B", mutex=second), system(3, "C", mutex=third))


def region(name: str) -> Document:
    return {"name": "lab", "region": name}


@pytest.mark.parametrize(
    ("document", "code", "place"),
    [
        # Joins
        (chain(join={"mode": "any"}), "JOIN_NEEDS_DEPENDENCIES", "/join"),
        (chain(join={"mode": "all"}), "JOIN_NEEDS_DEPENDENCIES", "/join"),
        (joined(mode="n_of_m"), "REQUIRED", "/join/n"),
        (joined(mode="any", n=1), "NOT_ALLOWED", "/join/n"),
        (joined(mode="n_of_m", n=3), "OUT_OF_RANGE", "/join/n"),
        (joined(mode="n_of_m", n=0), "OUT_OF_RANGE", "/join/n"),
        (joined(mode="all", others="cancel"), "NOT_ALLOWED", "/join/others"),
        (joined(mode="some"), "NOT_ALLOWED", "/join/mode"),
        (chain(join={}), "REQUIRED", "/join/mode"),
        # Items
        (chain(for_each={"items": "all of them"}), "INVALID_MAPPING", "/for_each/items"),
        (chain(for_each={"items": "${input.a} and ${input.b}"}), "INVALID_MAPPING", "/for_each/items"),
        (chain(for_each={"items": "${input.a"}), "INVALID_EXPRESSION", "/for_each/items"),
        (chain(for_each={"items": "${steps.d.output}"}), "UNKNOWN_REFERENCE", "/for_each/items"),
        (chain(for_each={"items": [1] * 10_001}), "TOO_LARGE", "/for_each/items"),
        (chain(for_each={}), "REQUIRED", "/for_each/items"),
        (chain(for_each={"items": [1], "max_concurrency": 0}), "OUT_OF_RANGE", "/for_each/max_concurrency"),
        (chain(for_each={"items": [1], "complete_when": "done > 1"}), "UNKNOWN_REFERENCE", "/for_each/complete_when"),
        (chain(for_each={"items": [1], "complete_when": "vars.n > 1"}), "UNKNOWN_REFERENCE", "/for_each/complete_when"),
        (chain(for_each={"items": [1], "complete_when": "count"}), "CONDITION_NOT_BOOLEAN", "/for_each/complete_when"),
        (chain(input={"x": "${item}"}), "UNKNOWN_REFERENCE", "/input/x"),
        (chain(for_each={"items": [1]}, condition="item > 1"), "UNKNOWN_REFERENCE", "/condition"),
        # Again
        (chain(repeat={"while": "true"}), "REQUIRED", "/repeat/max"),
        (chain(repeat={"while": "true", "max": 1_001}), "OUT_OF_RANGE", "/repeat/max"),
        (chain(repeat={"while": "1 +", "max": 2}), "INVALID_EXPRESSION", "/repeat/while"),
        (chain(repeat={"while": "input.n", "max": 2, "from": "z"}), "UNKNOWN_REFERENCE", "/repeat/from"),
        # When a step fails
        (chain(on_error={"action": "goto"}), "REQUIRED", "/on_error/step"),
        (chain(on_error={"action": "goto", "step": "z"}), "UNKNOWN_REFERENCE", "/on_error/step"),
        (chain(on_error={"action": "goto", "step": 9}), "UNKNOWN_REFERENCE", "/on_error/step"),
        (chain(on_error={"action": "incident", "step": "a"}), "NOT_ALLOWED", "/on_error/step"),
        (chain(on_error={"action": "fail", "max": 2}), "NOT_ALLOWED", "/on_error/max"),
        (chain(critical=False, on_error={"action": "incident"}), "CONFLICT", "/on_error"),
        # Compensation
        (chain(compensation={**UNDO, "worker_type": "undoer"}), "UNKNOWN_HANDLER", "/compensation/worker_type"),
        (chain(compensation={**UNDO, "step_type": "human"}), "NOT_ALLOWED", "/compensation/step_type"),
        (chain(compensation={**UNDO, "config": {"outputs": {}}}), "UNKNOWN_FIELD", "/compensation/config/outputs"),
        (chain(compensation={**UNDO, "input": {"x": "${steps.d.output}"}}), "UNKNOWN_REFERENCE",
         "/compensation/input/x"),
        (chain(compensation={**UNDO, "input": "not ${input.a}"}), "INVALID_MAPPING", "/compensation/input"),
        # Signals
        (waiting(), "REQUIRED", "/config/signals"),
        (waiting(signals=[]), "LENGTH", "/config/signals"),
        (waiting(signals=["a", "a"]), "NOT_UNIQUE", "/config/signals"),
        (waiting(signals=["a"], on_timeout="skip"), "NOT_ALLOWED", "/config/on_timeout"),
    ],
)  # fmt: skip
def test_problem_is_reported_when_control_flow_breaks_a_rule(document: Document, code: str, place: str) -> None:
    assert _found(document) == {(code, f"/steps/2{place}")}


def _found(document: Document) -> set[tuple[str, str]]:
    """Also of a document that cannot be read."""
    try:
        return found(document)
    except PlaybooksError as error:
        return {(problem.code, problem.pointer) for problem in error.problems}


@pytest.mark.parametrize(
    ("document", "code", "pointer"),
    [
        (playbook(system(1, "A"), system(2, "B", repeat={"while": "true", "max": 2, "from": "c"}), system(3, "C")),
         "REFERENCE_NOT_UPSTREAM", "/steps/1/repeat/from"),
        (approved(return_to_step={"step": "c"}), "REFERENCE_NOT_UPSTREAM", "/steps/1/approval/return_to_step/step"),
        (approved(return_to_step={"step": "z"}), "UNKNOWN_REFERENCE", "/steps/1/approval/return_to_step/step"),
        (approved(return_to_step={"step": "a", "on": []}), "LENGTH", "/steps/1/approval/return_to_step/on"),
        (playbook(system(1, "A"), human(2, "B", approval={"return_to_step": {"step": "a"}},
                                       repeat={"while": "true", "max": 2})),
         "CONFLICT", "/steps/1/approval/return_to_step"),
        (playbook(system(1, "A"), human(2, "B", approval={"return_to_step": {"step": "a"}}, for_each={"items": [1]})),
         "NOT_ALLOWED", "/steps/1/approval/return_to_step"),
        (playbook(system(1, "A", parallel_group="g", on_error={"action": "goto", "step": "b"}),
                  system(2, "B", parallel_group="g")),
         "UNRELATED_STEP", "/steps/0/on_error/step"),
        (regions(region("one"), region("two"), region("one")), "DEADLOCK", "/steps/2/mutex"),
        (playbook(system(1, "A", for_each={"items": [1]}), output={"x": "${steps.a.output.amount}"}),
         "UNKNOWN_REFERENCE", "/output/x"),
    ],
)  # fmt: skip
def test_problem_is_reported_when_a_jump_leads_nowhere(document: Document, code: str, pointer: str) -> None:
    assert _found(document) == {(code, pointer)}


@pytest.mark.parametrize(
    "document",
    [
        joined(mode="any", others="cancel"),
        joined(mode="n_of_m", n=2),
        joined(mode="all"),
        chain(for_each={"items": "${input.list}", "complete_when": "completed >= 2 || failed > count - 2"},
              input={"x": "${item.name}", "n": "${index + 1}"}, config={"output": {"y": "${item.other}"}}),
        chain(for_each={"items": [{"a": 1}, "${input.b}"], "complete_when": "results.all(each, each.ok)"}),
        chain(repeat={"while": "steps.c.output.state == 'pending'", "max": 5, "delay_seconds": 1}),
        chain(repeat={"while": {"field": "steps.c.output.n", "operator": "gt", "value": 1}, "max": 5, "from": "a"}),
        chain(on_error={"action": "goto", "step": 1}),
        chain(on_error={"action": "goto", "step": "c", "max": 3}),
        playbook(system(1, "A", on_error={"action": "goto", "step": "c"}), system(2, "B"), system(3, "C")),
        chain(on_error={"action": "compensate"}, compensation={**UNDO, "input": {"x": "${steps.c.output.id}"}}),
        chain(for_each={"items": [1]}, compensation={**UNDO, "input": {"x": "${steps.c.output.id}"}}),
        regions("lab", "lab", "lab"),
        regions(region("one"), region("one"), region("two")),
        waiting(signals=["a", "b"], timeout_minutes="${steps.b.output.minutes}"),
    ],
)  # fmt: skip
def test_nothing_is_reported_when_control_flow_keeps_the_rules(document: Document) -> None:
    assert compiled(document).problems == ()


def last(document: Document) -> PlanStep:
    return plan_of(document).steps[-1]


def test_a_join_compiles_to_the_number_it_needs() -> None:
    assert last(joined(mode="all")).join is None
    assert last(joined(mode="any")).join == JoinPlan(needed=1)
    assert last(joined(mode="n_of_m", n=2, others="cancel")).join == JoinPlan(needed=2, cancels_others=True)


def test_a_loop_compiles_to_its_rules() -> None:
    given = {"items": [1, 2], "max_concurrency": 3, "complete_when": 2, "others": "continue", "tolerated_failures": 1}
    rules = ForEachPlan(max_concurrency=3, enough=2, cancels_others=False, tolerated_failures=1)
    assert last(chain(for_each=given)).for_each == rules
    asked = last(chain(for_each={"items": [1], "complete_when": "failed > 0"})).for_each
    assert asked == ForEachPlan(has_condition=True)


def test_an_item_does_not_carry_the_list_that_it_is_of_when_it_is_done() -> None:
    read = {"items": "${input.list}"}
    step = last(chain(for_each=read, input={"n": "${item}", "who": "${input.who}"}))
    assert step.references == (("input", "who"),)
    assert step.items_references == (("input", "list"),)
    plan = plan_of(chain(for_each=read, input={"n": "${item}", "who": "${input.who}"}))
    drive = Drive(plan, input={"list": [7, 8], "who": "x"}).begin()
    opening = step_call(plan, drive.state, step, 0)
    assert opening.context == {"input": {"list": [7, 8], "who": "x"}}
    drive.report("a")
    drive.report("b")
    drive.open("c", 7, 8)
    item = step_call(plan, drive.state, plan.step("c[0]"), 1)
    assert item.context == {"input": {"who": "x"}, "item": 7, "index": 0}


def test_ways_back_have_their_bound_when_they_compile() -> None:
    repeat = {"while": "steps.c.output.n > 1", "max": 4, "from": "b", "delay_seconds": 2}
    repeated = last(chain(repeat=repeat))
    assert repeated.repeat == BackPlan(step="b", max=4, delay_seconds=2.0)
    assert repeated.loop_references == (("steps", "c", "output", "n"),)
    assert last(chain(repeat={"while": "true", "max": 2})).repeat == BackPlan(step="c", max=2)
    assert last(chain(on_error={"action": "goto", "step": 2})).goto == BackPlan(step="b", max=11)
    approval = plan_of(approved(return_to_step={"step": "a"})).steps[1].approval
    assert approval is not None
    assert approval.returns == BackPlan(step="a", max=6, on=("changes_requested",))


@pytest.mark.parametrize(
    ("action", "on_error", "critical"),
    [
        ("fail", None, True),
        ("continue", None, False),
        ("incident", "incident", True),
        ("compensate", "compensate", True),
    ],
)
def test_on_error_is_set_when_it_is_more_than_critical(action: str, on_error: str | None, critical: bool) -> None:
    step = last(chain(on_error={"action": action}))
    assert (step.on_error, step.critical) == (on_error, critical)


def test_a_compensation_reads_its_steps_output_by_default() -> None:
    plan = plan_of(chain(compensation=UNDO, cost={"unit_amount": 5}))
    undo = plan.compensation("c[3]")
    assert undo is not None
    assert (undo.key, undo.number, undo.cost, undo.critical) == ("c!undo", 3, 0, False)
    assert undo.references == (("steps", "c", "output"),)
    assert plan.step("c!undo[3]").key == "c!undo[3]"
    assert plan.compensation("a") is None


def test_regions_and_signals_are_in_the_plan_when_they_compile() -> None:
    plan = plan_of(regions("lab", region("two"), None))
    assert [step.mutex for step in plan.steps] == [
        MutexPlan(name="lab", region="a"),
        MutexPlan(name="lab", region="two"),
        None,
    ]
    waits = last(waiting(signals=["a", "b"], persistent=False, on_timeout="fail"))
    assert waits.signal == SignalPlan(names=("a", "b"), keeps=False, on_timeout="fail")
    assert waits.carrier == "signal"

"""A step's context: the values that it refers to and nothing else, and the fields of the run."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from playbooks.common.values import Path, PayloadRef
from playbooks.engine.context import build_context
from playbooks.engine.digest import digest_of_lines
from playbooks.engine.machine import new_run
from playbooks.engine.model.state import RunState, StepState
from playbooks.engine.progress import current_step, progress_of
from playbooks.engine.projection import flush_of
from tests.support.driver import Drive
from tests.support.plans import EXECUTION, INITIATOR, human, person, plan_of, run_input, step
from tests.support.random_plans import START

REF = PayloadRef(line_number=500_002, size_bytes=70_000, sha256="00" * 32)


def state_of(**fields: Any) -> RunState:
    plan = plan_of(step("a", 1), step("b", 2), step("c", 3))
    state = new_run(run_input(plan, input={"x": {"y": 1, "z": 2}, "list": [{"n": 1}]}, variables={"v": 1}))
    steps = {
        "a": StepState(key="a", status="completed", output={"total": {"net": 5, "tax": 1}, "other": "secret"}),
        "b": StepState(key="b", status="completed", output=REF),
        "c": StepState(key="c", status="failed", output={"half": True}),
    }
    return replace(state, steps=steps, cost=Decimal("2.50"), started_at=START, **fields)


@pytest.mark.parametrize(
    ("references", "context"),
    [
        ((), {}),
        ((("input",),), {"input": {"x": {"y": 1, "z": 2}, "list": [{"n": 1}]}}),
        ((("input", "x", "y"),), {"input": {"x": {"y": 1}}}),
        ((("input", "x", "y"), ("input", "x", "z")), {"input": {"x": {"y": 1, "z": 2}}}),
        ((("input", "x", "y"), ("input", "x")), {"input": {"x": {"y": 1, "z": 2}}}),
        ((("input", "list", "0", "n"),), {"input": {"list": [{"n": 1}]}}),
        ((("input", "nothing", "here"),), {"input": {}}),
        ((("vars", "v"),), {"vars": {"v": 1}}),
        ((("steps", "a", "status"),), {"steps": {"a": {"status": "completed"}}}),
        ((("steps", "a", "output", "total", "net"),), {"steps": {"a": {"output": {"total": {"net": 5}}}}}),
        ((("steps", "c"),), {"steps": {"c": {"status": "failed"}}}),
        ((("steps", "nowhere", "output"),), {}),
        ((("item",), ("elsewhere", "x")), {}),
    ],
    ids=str,
)
def test_context_holds_only_what_is_referred_to(references: tuple[Path, ...], context: Any) -> None:
    assert build_context(state_of(), references) == (context, {})


def test_context_leaves_large_values_in_their_store() -> None:
    context, stored = build_context(state_of(), [("steps", "b", "output", "rows")])
    assert (context, stored) == ({"steps": {"b": {}}}, {"b": REF})


def test_names_every_step_when_all_of_them_are_referred_to() -> None:
    context, stored = build_context(state_of(), [("steps",), ("steps", "a", "output")])
    steps: Any = context["steps"]
    assert {key: value["status"] for key, value in steps.items()} == {"a": "completed", "b": "completed", "c": "failed"}
    assert stored == {"b": REF}


def test_context_describes_the_run_and_its_initiator() -> None:
    context, _ = build_context(state_of(), [("run",)])
    assert context["run"] == {
        "id": str(EXECUTION),
        "priority": "normal",
        "initiated_by": str(INITIATOR.id),
        "started_at": START.isoformat(),
        "cost": 2.5,
    }


def test_making_a_context_never_changes_the_state() -> None:
    state = state_of()
    build_context(state, [("input", "x", "y"), ("input", "list"), ("steps",), ("vars",)])
    assert state == state_of()


def test_flush_carries_the_changes_since_the_last_one() -> None:
    drive = Drive(plan_of(step("a", 1), step("b", 2, after=("a",)))).begin()
    first = flush_of(drive.plan, drive.state, flushed_seq=0, temporal_run_id="r")
    assert ([line.key for line in first.steps], first.run.current_step, first.run.digest) == (["a"], "a", None)
    drive.state = replace(drive.state, outbox=())
    drive.report("a")
    drive.report("b")
    drive.make_output({"n": 1})
    second = flush_of(drive.plan, drive.state, flushed_seq=first.seq, temporal_run_id="r")
    assert [line.key for line in second.steps] == ["a", "b"]
    assert second.events[0].number == first.events[-1].number + 1
    assert (second.run.status, second.run.output, second.run.current_step) == ("completed", {"n": 1}, None)
    assert second.run.digest == digest_of_lines(drive.state)
    third = flush_of(drive.plan, replace(drive.state, outbox=()), flushed_seq=second.seq, temporal_run_id="r")
    assert (third.steps, third.events) == ((), ())


def test_has_the_same_digest_when_only_the_form_of_a_number_differs() -> None:
    state = state_of()
    dearer = replace(state, steps={**state.steps, "a": replace(state.steps["a"], cost=Decimal("1.10"))})
    same = replace(state, steps={**state.steps, "a": replace(state.steps["a"], cost=Decimal("1.1"))})
    assert digest_of_lines(dearer) == digest_of_lines(same) != digest_of_lines(state)


def test_reads_as_a_list_when_an_operator_looks_at_the_run() -> None:
    drive = Drive(plan_of(human("h", 1), step("b", 2, after=("h",)), step("c", 3, after=("b",)))).begin()
    drive.prepare("h")
    assert current_step(drive.plan, drive.state) == "h"
    assert "- [>] 1. H: waiting, 0 approvals so far, open for approver" in progress_of(drive.plan, drive.state)
    drive.decide("h", person("anna", "approver"))
    drive.report("b", status="skipped", reason="n > 1 is false")
    drive.send("pause", reason="lunch")
    text = progress_of(drive.plan, drive.state)
    assert text.startswith("**Testing** (version 1): paused, 2 of 3 steps\npaused: lunch")
    assert "- [x] 1. H: completed" in text
    assert "- [-] 2. B: skipped (n > 1 is false)" in text

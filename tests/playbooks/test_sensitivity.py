from __future__ import annotations

from typing import Any

import pytest

from tests.playbooks.building import human, plan_of, playbook, system

SECRET = {"x-sensitive": True}
CONTRACT = {
    "properties": {
        "tax": SECRET,
        "who": {"properties": {"mail": SECRET}},
        "all": {"items": {"properties": {"id": SECRET}}},
    }
}
DATA: dict[str, Any] = {"depends_on": "a", "dependency_type": "data"}


def marks(*steps: Any, **fields: Any) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    plan = plan_of(playbook(*steps, input_contract=CONTRACT, **fields))
    found = {step.key: (step.sensitive_input, step.sensitive_output) for step in plan.steps}
    return {**found, "run": (plan.sensitive_input, plan.sensitive_output)}


RUN = ("/all/*/id", "/tax", "/who/mail")


@pytest.mark.parametrize(
    ("mapping", "pointers"),
    [
        ({"x": "${input.tax}"}, ("/x",)),
        ({"x": "${input.who}"}, ("/x/mail",)),
        ({"x": "${input['who'].mail}"}, ("/x",)),
        ({"x": "${input.tax.deeper}"}, ("/x",)),
        ({"x": ["${input.all}"]}, ("/x/0/*/id",)),
        ({"x": "tax: ${input.tax}"}, ("/x",)),
        ({"x": "${input}"}, tuple(f"/x{pointer}" for pointer in RUN)),
        ("${input}", RUN),
        ({"x": "${input.tax == 'a'}", "y": "${input.other}"}, ()),
    ],
)
def test_marks_follow_bare_paths_when_an_input_is_mapped(mapping: Any, pointers: tuple[str, ...]) -> None:
    found = marks(system(1, "A", input=mapping))
    assert found["a"] == (pointers, pointers)


def test_marks_reach_the_output_when_steps_hand_them_on() -> None:
    found = marks(
        system(1, "A", config={"output": {"t": "${input.tax}"}}),
        system(2, "B", input={"u": "${steps.a.output.t}", "whole": "${steps.a}"}),
        system(3, "C", dependencies=[DATA], config={"output": {"n": 1}}),
        output={"v": "${steps.b.output.u}", "w": "${steps.c.output.n}"},
    )
    assert found["a"] == (RUN, ("/t",))
    assert found["b"][0] == ("/u", "/whole/output/t")
    assert found["c"] == (("/all/*/id", "/t", "/tax", "/who/mail"), ())
    assert found["run"] == (RUN, ("/v",))


def test_marks_are_by_step_when_the_run_has_no_output_mapping() -> None:
    found = marks(system(1, "A", input={"x": "${input.tax}"}), output_contract={"properties": {"z": SECRET}})
    assert found["run"][1] == ("/a/x", "/z")


def test_marks_are_everywhere_a_form_goes_when_people_fill_it() -> None:
    found = marks(human(1, "A", output_contract={"properties": {"iban": SECRET}}))
    assert found["a"][1] == ("/approvals/*/data/iban", "/data/iban", "/iban", "/mean/iban")


@pytest.mark.parametrize("kind", ["ai", "external"])
def test_marks_stay_behind_when_a_step_leaves_the_house(kind: str) -> None:
    fields: dict[str, Any] = {
        "ai": {"worker_type": "x", "config": {"provider": "scripted", "script": [{"output": 1}]}},
        "external": {"worker_type": "http_request", "config": {"url": "https://a.example"}},
    }[kind]
    found = marks(
        system(1, "A"),
        system(2, "B", step_type=kind, dependencies=[DATA], **fields),
        system(3, "C", step_type=kind, input={"named": "${input.tax}"}, **fields),
        system(4, "D", step_type=kind, dependencies=[{**DATA, "mapping": {"m": "${steps.a.output.tax}"}}], **fields),
    )
    assert (found["b"][0], found["c"][0], found["d"][0]) == ((), ("/named",), ("/m",))


def test_own_contracts_mark_when_a_step_has_them() -> None:
    contract = {"properties": {"k": SECRET}}
    found = marks(system(1, "A", input={"k": 1}, config={"output": {"k": 2}}, input_contract=contract))
    assert found["a"] == (("/k",), ())
    found = marks(system(1, "A", input={"k": 1}, config={"output": {"k": 2}}, output_contract=contract))
    assert found["a"] == ((), ("/k",))


EACH: dict[str, Any] = {"items": "${input.all}"}


@pytest.mark.parametrize(
    ("step", "into", "out"),
    [
        ({"input": {"x": "${item.id}", "y": "${item.other}"}}, ("/x",), ("/results/*/x",)),
        ({"input": {"x": "${item}"}}, ("/x/id",), ("/results/*/x/id",)),
        ({"input": {"x": 1}, "config": {"output": {"n": "for ${item.id}"}}}, (), ("/results/*/n",)),
        ({"input": {"x": "${item.id}"}, "config": {"output": {"n": 1}}}, ("/x",), ()),
    ],
)
def test_marks_follow_an_item_when_a_step_is_done_for_each(step: Any, into: Any, out: Any) -> None:
    plan = plan_of(playbook(system(1, "A", for_each=EACH, **step), input_contract=CONTRACT))
    assert (plan.steps[0].sensitive_input, plan.steps[0].sensitive_output) == (into, out)
    assert plan.steps[0].for_each is not None
    assert plan.steps[0].for_each.sensitive_items == ("/*/id",)


def test_marks_follow_an_item_when_the_list_is_written_out() -> None:
    each = {"items": [{"who": "${input.tax}"}, {"who": "nobody"}]}
    found = marks(system(1, "A", for_each=each, input={"x": "${item.who}"}))
    assert found["a"] == (("/x",), ("/results/*/x",))


@pytest.mark.parametrize("each", [None, EACH])
def test_marks_reach_what_undoes_a_step_when_it_names_the_output(each: Any) -> None:
    undo = {"step_type": "system", "worker_type": "data_processor", "input": {"x": "${steps.a.output.t}", "y": 1}}
    fields = {"for_each": each} if each else {}
    made = {"config": {"output": {"t": "${input.tax}"}}, "input": {"tax": "${input.tax}"}}
    plan = plan_of(playbook(system(1, "A", compensation=undo, **made, **fields), input_contract=CONTRACT))
    assert plan.compensations[0].sensitive_input == ("/x",)

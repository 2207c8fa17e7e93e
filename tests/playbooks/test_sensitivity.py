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

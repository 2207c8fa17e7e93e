"""Types in the expressions of loops and compensations: an error only where no run could work."""

from __future__ import annotations

from typing import Any

import pytest

from tests.playbooks.building import Document, found, human, playbook, system
from tests.playbooks.test_contracts import CIRCLES

INPUT: Document = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "lines": {
            "type": "array",
            "items": {"type": "object", "properties": {"amount": {"type": "number"}, "kind": {"enum": ["a", "b"]}}},
        },
        "open": True,
    },
}
MADE: Document = {
    "type": "object",
    "required": ["state", "n"],
    "properties": {"state": {"enum": ["pending", "done"]}, "n": {"type": "number"}},
}
LINES: Document = {"items": "${input.lines}"}
UNDO: Document = {"step_type": "system", "worker_type": "data_processor"}


def call(name: str = "Only", number: int = 1, **fields: Any) -> Document:
    config = {"url": "https://a.example", "output": {"state": "${response.body.state}", "n": "${response.body.n}"}}
    given = {"step_type": "external", "worker_type": "http_request", "config": config, "output_contract": MADE}
    return system(number, name, **{**given, **fields})


def only(**fields: Any) -> Document:
    return playbook(call(**fields), input_contract=INPUT)


@pytest.mark.parametrize(
    ("fields", "code", "place"),
    [
        ({"for_each": {"items": "${input.name}"}}, "TYPE_MISMATCH", "/for_each/items"),
        ({"for_each": {"items": "${size(input.tags)}"}}, "TYPE_MISMATCH", "/for_each/items"),
        ({"for_each": {"items": ["${input.name + 1}"]}}, "TYPE_MISMATCH", "/for_each/items/0"),
        ({"for_each": LINES, "input": {"x": "${item + 1}"}}, "TYPE_MISMATCH", "/input/x"),
        ({"for_each": LINES, "input": {"x": "${item.amount + 'x'}"}}, "TYPE_MISMATCH", "/input/x"),
        ({"for_each": LINES, "input": {"x": "${item.amount}"}, "input_contract":
          {"properties": {"x": {"type": "string"}}}}, "MAPPING_MISMATCH", "/input/x"),
        ({"for_each": {"items": "${input.tags}"}, "input": {"x": "${item.name}"}}, "TYPE_MISMATCH", "/input/x"),
        ({"for_each": {"items": [1, 2]}, "input": {"x": "${item + 'x'}"}}, "TYPE_MISMATCH", "/input/x"),
        ({"for_each": LINES, "input": {"x": "${index + 'x'}"}}, "TYPE_MISMATCH", "/input/x"),
        ({"for_each": LINES, "input": {"x": "${item.amount}"}, "input_contract":
          {"required": ["y"]}}, "MAPPING_INCOMPLETE", "/input/y"),
        ({"for_each": {**LINES, "complete_when": "completed == 'two'"}}, "TYPE_MISMATCH", "/for_each/complete_when"),
        ({"for_each": {**LINES, "complete_when": "results.exists(each, each.n == 'x')"}}, "TYPE_MISMATCH",
         "/for_each/complete_when"),
        ({"for_each": {**LINES, "complete_when": "results.exists(each, each.state == 'gone')"}}, None, ""),
        ({"for_each": {**LINES, "complete_when": "'many' == 'few'"}}, "RULE_NEVER_TRUE", "/for_each/complete_when"),
        ({"repeat": {"while": "steps.only.output.n", "max": 2}}, "CONDITION_NOT_BOOLEAN", "/repeat/while"),
        ({"repeat": {"while": "steps.only.output.n == 'x'", "max": 2}}, "TYPE_MISMATCH", "/repeat/while"),
        ({"repeat": {"while": "steps.only.output.state == 'waiting'", "max": 2}}, "RULE_NEVER_TRUE", "/repeat/while"),
        ({"compensation": {**UNDO, "input": {"x": "${steps.only.output.n + 'x'}"}}}, "TYPE_MISMATCH",
         "/compensation/input/x"),
        ({"for_each": LINES, "compensation": {**UNDO, "input": {"x": "${steps.only.output.n + 'x'}"}}},
         "TYPE_MISMATCH", "/compensation/input/x"),
        ({"compensation": {**UNDO, "input": {"x": "${steps.only.output.n}"},
                           "config": {"output": {"y": "${input.x + 'x'}"}}}},
         "TYPE_MISMATCH", "/compensation/config/output/y"),
    ],
)  # fmt: skip
def test_a_problem_is_reported_when_no_run_could_work(fields: Document, code: str | None, place: str) -> None:
    assert found(only(**fields)) == ({(code, f"/steps/0{place}")} if code else set())


@pytest.mark.parametrize(
    "fields",
    [
        {"for_each": {"items": "${input.open}"}, "input": {"x": "${item.any + 1}"}},
        {"for_each": LINES, "input": {"x": "${double(item.amount) * 2.0}", "y": "${item.kind == 'a'}"}},
        {"for_each": {"items": ["a", 5]}, "input": {"x": "${item}"}},
        {"for_each": {"items": []}, "input": {"x": "${item.any.thing}"}},
        {"for_each": {**LINES, "complete_when": "double(completed) / double(count) > 0.5"}},
        {"for_each": {**LINES, "complete_when": "results.exists(each, each.n > 1.0)"}},
        {"repeat": {"while": "true", "max": 3}},
        {"repeat": {"while": "steps.only.output.state == 'pending' && steps.only.status == 'completed'", "max": 3}},
        {"compensation": {**UNDO, "input": {"x": "${steps.only.output.n}"}}},
        {"compensation": {**UNDO, "input": "${steps.only.output}", "config": {"output": {"y": "${input.n}"}}}},
    ],
)
def test_nothing_is_reported_when_some_run_could_work(fields: Document) -> None:
    assert found(only(**fields)) == set()


@pytest.mark.parametrize(
    ("text", "is_wrong"),
    [
        ("steps.only.output.results[0].n + 'x'", True),
        ("steps.only.output.results[0].n * 2.0", None),
        ("steps.only.output.results.filter(each, each != null).map(each, each.state)", False),
        ("steps.only.output.completed + 1", False),
        ("steps.only.output.failed == 'none'", True),
        ("steps.only.output.results.n", True),
    ],
)
def test_later_steps_know_the_output_of_a_loop(text: str, is_wrong: bool | None) -> None:
    document = playbook(call(for_each=LINES), system(2, "Last", input={"x": f"${{{text}}}"}), input_contract=INPUT)
    codes = {code for code, _ in found(document)}
    assert codes == ({"TYPE_MISMATCH"} if is_wrong else set() if is_wrong is False else {"NUMBERS_MAY_NOT_MIX"})


def test_a_decision_is_known_when_people_decide_each_item() -> None:
    review = human(1, "Review", for_each={"items": "${input.tags}"})
    text = "${steps.review.output.results[0].decision}"
    contract = {"properties": {"x": {"type": "number"}}}
    document = playbook(review, system(2, "Last", input={"x": text}, input_contract=contract))
    assert found({**document, "input_contract": INPUT}) == {("MAPPING_MISMATCH", "/steps/1/input/x")}


@pytest.mark.parametrize(
    ("worker", "config", "fits"),
    [
        ("timer", {"duration_minutes": 1}, False),
        ("signal_wait", {"signals": ["go"], "timeout_minutes": 1}, False),
        ("signal_wait", {"signals": ["go"], "timeout_minutes": 1, "on_timeout": "fail"}, True),
        ("signal_wait", {"signals": ["go"]}, True),
    ],
)
def test_a_contract_is_refused_when_it_does_not_allow_what_a_wait_is_sure_to_give(
    worker: str, config: Any, *, fits: bool
) -> None:
    contract = {"type": "object", "properties": {"payload": {"type": "object"}}, "required": ["signal"]}
    wait = system(1, "Wait", worker_type=worker, config=config, output_contract=contract)
    assert found(playbook(wait)) == (set() if fits else {("OUTPUT_MISMATCH", "/steps/0/output_contract")})
    contract = {"properties": {"timed_out": {"type": "boolean"}, "fired_at": {"type": "string"}}}
    assert found(playbook({**wait, "output_contract": contract})) == set()


@pytest.mark.parametrize("worker", ["timer", "data_processor"])
def test_an_invalid_or_recursive_contract_is_reported(worker: str) -> None:
    config = {"duration_minutes": 1} if worker == "timer" else {"output": {}}
    for contract in CIRCLES:
        found(playbook(system(1, "Step", worker_type=worker, config=config, output_contract=contract)))
    none = playbook(system(1, "Step", worker_type=worker, config=config, output_contract={"type": "nope"}))
    assert found(none) == {("INVALID_SCHEMA", "/steps/0/output_contract/type")}


def test_later_steps_know_the_output_of_a_signal() -> None:
    wait = system(1, "Wait", worker_type="signal_wait", config={"signals": ["go"]})
    wrong = system(2, "Last", condition="steps.wait.output.timed_out == 'yes'")
    right = system(2, "Last", condition="steps.wait.output.signal == 'go' && steps.wait.output.payload.n > 1")
    assert found(playbook(wait, wrong)) == {("TYPE_MISMATCH", "/steps/1/condition")}
    assert found(playbook(wait, right)) == set()

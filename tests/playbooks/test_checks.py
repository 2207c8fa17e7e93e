"""One row per check: a document that it reports, and one beside it that it does not."""

from __future__ import annotations

from typing import Any

import pytest

from playbooks.compiler.step_rules import RESERVED_FORM_FIELDS
from tests.playbooks.building import Document, found, human, playbook, system

INPUT = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "kind": {"enum": ["person", "company"]},
        "amount": {"type": "number", "minimum": 10, "maximum": 100},
        "months": {"type": "integer"},
        "urgent": {"type": "boolean"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "note": {"type": ["string", "null"]},
        "either": {"anyOf": [{"type": "string"}, {"type": "number"}]},
        "address": {"$ref": "#/$defs/address"},
        "open": True,
    },
    "$defs": {"address": {"type": "object", "properties": {"zip": {"type": "string"}}}},
}
FORM = {"type": "object", "properties": {"score": {"type": "number"}, "level": {"enum": ["low", "high"]}}}
PLACE = "/steps/2/condition"


def with_condition(condition: Any, **fields: Any) -> Document:
    review = human(2, "Review", output_contract=FORM)
    return playbook(system(1, "Make"), review, system(3, "Last", condition=condition, **fields), input_contract=INPUT)


def with_input(value: Any, contract: Document, **fields: Any) -> Document:
    return playbook(system(1, "Only", input=value, input_contract=contract, **fields), input_contract=INPUT)


@pytest.mark.parametrize(
    "condition",
    [
        "input.name == 5",
        "input.name > 5",
        "input.name + 1 == 2",
        "input.name && input.urgent",
        "!input.amount",
        "input.amount ? true : false",
        "input.kind in [1, 2]",
        "input.name in input.urgent",
        "input.name.first == 'x'",
        "input.tags.exists(tag, tag > 5)",
        "input.tags[0] + 1 == 2",
        "input.urgent == 'true'",
        "size(input.urgent) > 1",
        "input.amount.startsWith('5')",
        "input.address.zip > 5",
        "-input.name == 'x'",
        "run.cost > 'x'",
        "run.priority > 5",
        "steps.review.output.decision == true",
        "steps.review.output.score == 'high'",
        "steps.review.output.counts.approve == 'two'",
        "steps.make.status == 1",
        "input.open == 1 || input.name > 5",
    ],
)
def test_a_mismatch_is_reported_when_no_value_of_the_contract_fits(condition: str) -> None:
    assert found(with_condition(condition)) == {("TYPE_MISMATCH", PLACE)}


@pytest.mark.parametrize(
    "condition",
    [
        "input.either == 'x' || input.either == 5",
        "input.either + 'x' == 'yx'",
        "input.note == null || input.note == 'x'",
        "input.open > 5 && input.open < 'x'",
        "input.open.any.thing == 'x'",
        "dyn(input.name) > 5",
        "input.amount > 20 && input.amount < 30.5",
        "double(input.amount) * 2.0 > 50.0",
        "input.months + 1 > 12",
        "input.tags.all(tag, tag.startsWith('a')) && size(input.tags) > 1",
        "input.address.zip.matches('^[0-9]+$')",
        "steps.review.output.score > 5.0 && steps.review.output.decision == 'approved'",
        "has(steps.review.output.level) && steps.review.output.level == 'low'",
        "steps.make.output.whatever == 'x'",
        "vars.anything == 5 || vars.anything == 'five'",
        "timestamp(run.started_at) < timestamp('2030-01-01T00:00:00Z')",
        "input.name == 'x' ? input.urgent : input.amount > 50",
    ],
)
def test_nothing_is_reported_when_some_value_of_the_contract_fits(condition: str) -> None:
    assert found(with_condition(condition)) == set()


@pytest.mark.parametrize(
    "condition",
    [
        "1 == 2",
        "input.kind == 'persn'",
        "input.kind != 'person' && input.kind != 'company'",
        "input.kind in ['human']",
        "input.amount < 10",
        "input.amount > 100.0",
        "input.amount == 5",
        "input.amount > 50 && input.amount <= 50",
        "input.name == null",
        "input.urgent && !input.urgent",
        "run.priority == 'urgent'",
        "steps.make.status == 'complete'",
        "steps.make.status == 'failed'",
        "steps.make.status == 'completed' && steps.make.status == 'skipped'",
        "steps.review.output.decision == 'approve'",
        "steps.review.output.level == 'medium'",
        {"field": "input.kind", "operator": "equals", "value": "persn"},
        {"field": "input.amount", "operator": "greater_than", "value": 100},
        {"field": "input.kind", "operator": "in", "value": ["a", "b"]},
        {"field": "steps.review.output.decision", "operator": "==", "value": "yes"},
    ],
)
def test_a_step_is_unreachable_when_its_condition_contradicts_what_it_reads(condition: Any) -> None:
    assert found(with_condition(condition)) == {("UNREACHABLE_STEP", PLACE)}


@pytest.mark.parametrize(
    "condition",
    [
        "true",
        "input.kind in ['person', 'company']",
        "input.kind == 'person' || input.kind == 'company'",
        "input.amount >= 10",
        "input.amount < 100.5",
        "input.note == null || input.note != null",
        {"field": "input.amount", "operator": ">=", "value": 10},
        {"field": "input.kind", "operator": "not_in", "value": ["a"]},
        "!(steps.make.status == 'failed')",
    ],
)
def test_a_warning_is_given_when_a_condition_always_holds(condition: Any) -> None:
    assert found(with_condition(condition)) == {("CONDITION_ALWAYS_TRUE", PLACE)}


@pytest.mark.parametrize(
    "condition",
    [
        "steps.make.status == 'completed'",
        "steps.make.status == 'skipped'",
        "input.amount > 10",
        "input.kind == 'person'",
        "steps.review.output.decision == 'timed_out'",
        {"field": "input.note", "operator": "exists"},
        {"field": "input.name", "operator": "starts_with", "value": "A"},
        {"field": "input.tags", "operator": "contains", "value": "${vars.tag}"},
        {"field": "input.amount", "operator": "greater_than", "value": "${input.months}"},
    ],
)
def test_nothing_is_reported_when_a_condition_may_go_either_way(condition: Any) -> None:
    assert found(with_condition(condition)) == set()


def test_a_failed_step_can_be_asked_for_when_it_does_not_end_the_run() -> None:
    steps = [system(1, "Make", critical=False), system(2, "Last", condition="steps.make.status == 'failed'")]
    assert found(playbook(*steps)) == set()


@pytest.mark.parametrize(
    ("operator", "value"), [("greater_than", 5), ("equals", 5), ("starts_with", "a"), ("in", [1]), ("contains", "x")]
)
def test_a_mismatch_is_reported_when_the_object_form_compares_different_kinds(operator: str, value: Any) -> None:
    field = "input.amount" if operator in ("starts_with", "contains") else "input.name"
    condition = {"field": field, "operator": operator, "value": value}
    assert found(with_condition(condition)) == {("TYPE_MISMATCH", f"{PLACE}/value")}


@pytest.mark.parametrize("condition", ["input.amount", "input.name", "steps.review.output.decision"])
def test_a_condition_is_refused_when_its_contract_is_not_boolean(condition: str) -> None:
    assert found(with_condition(condition)) == {("CONDITION_NOT_BOOLEAN", PLACE)}


@pytest.mark.parametrize("text", ["input.amount * 2.0", "input.amount + 1", "input.months * 0.5"])
def test_a_warning_is_given_when_numbers_may_not_mix(text: str) -> None:
    document = with_input({"x": f"${{{text}}}"}, {})
    assert found(document) == {("NUMBERS_MAY_NOT_MIX", "/steps/0/input/x")}


def test_types_travel_when_a_mapping_makes_a_steps_input() -> None:
    rules = {"rules": [{"name": "r", "when": "input.who > 5"}, {"name": "s", "when": "input.what == 'x'"}]}
    step = system(1, "Only", worker_type="rules_engine", config=rules)
    step["input"] = {"who": "${input.name}", "what": "${input.kind}"}
    assert found(playbook(step, input_contract=INPUT)) == {
        ("TYPE_MISMATCH", "/steps/0/config/rules/0/when"),
        ("RULE_NEVER_TRUE", "/steps/0/config/rules/1/when"),
    }


def test_types_travel_when_a_processor_makes_an_output() -> None:
    make = system(1, "Make", config={"output": {"label": "for ${input.name}", "kind": "${input.kind}"}})
    wrong = system(2, "Last", condition="steps.make.output.label > 5")
    # A person may complete the step by hand, with another kind than the mapping gives.
    right = system(2, "Last", condition="steps.make.output.kind == 'other'")
    assert found(playbook(make, wrong, input_contract=INPUT)) == {("TYPE_MISMATCH", "/steps/1/condition")}
    assert found(playbook(make, right, input_contract=INPUT)) == set()


CONTRACT = {
    "type": "object",
    "required": ["who", "amount"],
    "properties": {
        "who": {"type": "string", "minLength": 2},
        "amount": {"type": "number", "maximum": 50},
        "level": {"enum": ["low", "high"]},
        "inner": {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}},
    },
    "additionalProperties": False,
}
GOOD: Document = {"who": "${input.name}", "amount": 5}


@pytest.mark.parametrize(
    ("mapping", "code", "place"),
    [
        ({"who": "${input.name}"}, "MAPPING_INCOMPLETE", "/amount"),
        ({**GOOD, "amount": "5"}, "MAPPING_MISMATCH", "/amount"),
        ({**GOOD, "amount": 51}, "MAPPING_MISMATCH", "/amount"),
        ({**GOOD, "who": "x"}, "MAPPING_MISMATCH", "/who"),
        ({**GOOD, "who": "${input.amount}"}, "MAPPING_MISMATCH", "/who"),
        ({**GOOD, "amount": "about ${input.amount}"}, "MAPPING_MISMATCH", "/amount"),
        ({**GOOD, "level": "medium"}, "MAPPING_MISMATCH", "/level"),
        ({**GOOD, "levle": "low"}, "MAPPING_MISMATCH", "/levle"),
        ({**GOOD, "inner": {}}, "MAPPING_INCOMPLETE", "/inner/a"),
        ({**GOOD, "inner": {"a": "${input.tags}"}}, "MAPPING_MISMATCH", "/inner/a"),
    ],
)
def test_a_mapping_is_refused_when_it_cannot_satisfy_the_contract(mapping: Document, code: str, place: str) -> None:
    assert found(with_input(mapping, CONTRACT)) == {(code, f"/steps/0/input{place}")}
    made = playbook(system(1, "Only", config={"output": mapping}, output_contract=CONTRACT), input_contract=INPUT)
    assert found(made) == {(code, f"/steps/0/config/output{place}")}
    whole = playbook(system(1, "Only"), input_contract=INPUT, output=mapping, output_contract=CONTRACT)
    assert found(whole) == {(code, f"/output{place}")}


@pytest.mark.parametrize(
    ("mapping", "contract"),
    [
        (GOOD, CONTRACT),
        ({**GOOD, "amount": "${input.open}", "level": "${input.kind}"}, CONTRACT),
        ({"a": "${input.kind}"}, {"oneOf": [{"properties": {"a": {"const": "x"}}, "required": ["b"]}, {}]}),
        ({"a": "${vars.x}"}, {"if": {"properties": {"a": {"const": 1}}}, "then": {"required": ["b"]}}),
        ({"a": ["${vars.x}", "y"]}, {"properties": {"a": {"uniqueItems": True, "contains": {"const": 5}}}}),
        ({"a-b": 1}, {"patternProperties": {"^a-": {}}, "additionalProperties": False}),
        ({"a": "${input.either}"}, {"properties": {"a": {"type": "string"}}}),
        ({"a": "$${x}"}, {"properties": {"a": {"maxLength": 4}}}),
    ],
)
def test_a_mapping_is_accepted_when_some_run_could_satisfy_the_contract(mapping: Document, contract: Document) -> None:
    assert found(with_input(mapping, contract)) == set()


def test_a_missing_field_is_reported_when_only_the_runs_input_exists() -> None:
    closed = {"type": "object", "properties": {"a": {}}, "additionalProperties": False}
    document = playbook(system(1, "Only", input_contract={"required": ["b"]}), input_contract=closed)
    assert found(document) == {("MAPPING_INCOMPLETE", "/steps/0/input_contract/required")}


def service(**fields: Any) -> Document:
    config = {"url": "https://a.example"}
    return system(1, "Call", step_type="external", worker_type="http_request", config=config, **fields)


@pytest.mark.parametrize(
    ("step", "place"),
    [
        (service(), "timeout_seconds"),
        (service(timeout_seconds=601), "timeout_seconds"),
        (service(timeout_seconds=60, retry={"max_retries": 10}), "retry"),
        (service(timeout_seconds=1, retry={"max_retries": 3, "initial_delay_ms": 300_000, "max_delay_ms": 400_000}),
         "retry"),
        (human(1, "Ask", approval={"window_minutes": 11}), "approval/window_minutes"),
        (system(1, "Wait", worker_type="timer", config={"duration_minutes": 11}), "config/duration_minutes"),
        (system(1, "Wait", worker_type="timer", config={"duration_seconds": 601}), "config/duration_seconds"),
        (system(1, "Slow", timeout_seconds=6_000), "timeout_seconds"),
    ],
)  # fmt: skip
def test_a_warning_is_given_when_a_step_may_outlast_its_run(step: Document, place: str) -> None:
    document = playbook(step, policies={"timeout_minutes": 10})
    assert found(document) == {("EXCEEDS_RUN_TIMEOUT", f"/steps/0/{place}")}
    assert found(playbook(step)) == set()
    assert found(playbook(step, policies={"timeout_minutes": 200_000})) == set()


@pytest.mark.parametrize(
    "step",
    [
        service(timeout_seconds=500, retry={"max_retries": 5, "retry_on_errors": ["network"]}),
        system(1, "Quick"),
        human(1, "Ask", approval={"window_minutes": 10}),
    ],
)
def test_nothing_is_reported_when_a_step_fits_into_its_run(step: Document) -> None:
    assert found(playbook(step, policies={"timeout_minutes": 10})) == set()


def test_a_warning_is_given_when_the_sure_steps_cost_more_than_the_budget() -> None:
    price = {"cost": {"unit_amount": 3}}
    steps = [system(1, "A", **price), system(2, "B", **price), system(3, "C", condition="vars.x == 1", **price)]
    for most, codes in ((5.99, {("BUDGET_TOO_SMALL", "/policies/budget/max_cost")}), (6, set[tuple[str, str]]())):
        assert found(playbook(*steps, policies={"budget": {"max_cost": most}})) == codes


def test_a_warning_is_given_when_an_approval_comes_after_what_cannot_be_undone() -> None:
    pay = {"side_effects": "irreversible"}
    assert found(playbook(system(1, "Pay", **pay), human(2, "Approve"))) == {
        ("IRREVERSIBLE_BEFORE_APPROVAL", "/steps/0/side_effects")
    }
    assert found(playbook(human(1, "Approve"), system(2, "Pay", **pay))) == set()
    beside = {"parallel_group": "g"}
    assert found(playbook(system(1, "Pay", **pay, **beside), human(2, "Approve", **beside))) == set()


def test_conditions_know_the_fields_of_a_decision() -> None:
    from playbooks.compiler.checks.step_types import DECIDED

    assert set(DECIDED.fields or ()) == RESERVED_FORM_FIELDS


def test_a_place_is_reported_once_when_two_rules_find_it() -> None:
    assert found(with_condition("false")) == {("UNREACHABLE_STEP", PLACE)}
    assert found(with_condition("1 + 1")) == {("CONDITION_NOT_BOOLEAN", PLACE)}

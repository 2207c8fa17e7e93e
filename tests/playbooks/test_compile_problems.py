"""One row per rule: a document that breaks it, and the code and pointer of the problem."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.playbooks.building import compiled, found, human, playbook, system

CLOSED = {"type": "object", "properties": {"amount": {}, "who": {"type": "object"}}, "additionalProperties": False}


def ai(**config: Any) -> dict[str, Any]:
    given = {"provider": "scripted", "script": [{"output": 1}], **config}
    return system(2, "B", step_type="ai", worker_type="scorer", config=given)


def two(**fields: Any) -> dict[str, Any]:
    return playbook(system(1, "A"), system(2, "B", **fields))


@pytest.mark.parametrize(
    ("document", "code", "pointer"),
    [
        (playbook(), "NO_STEPS", "/steps"),
        (playbook(system(1, "A"), input_contract={"type": "x"}), "INVALID_SCHEMA", "/input_contract/type"),
        (two(input_contract={"$ref": "http://a"}), "REMOTE_REFERENCE", "/steps/1/input_contract/$ref"),
        (two(output_contract={"pattern": "(?=a)"}), "UNSUPPORTED_PATTERN", "/steps/1/output_contract/pattern"),
        # Order
        (two(dependencies=[{}]), "REQUIRED", "/steps/1/dependencies/0"),
        (two(dependencies=[{"depends_on": "a", "depends_on_step_number": 1}]), "REQUIRED", "/steps/1/dependencies/0"),
        (two(dependencies=[{"depends_on": "aa"}]), "UNKNOWN_DEPENDENCY", "/steps/1/dependencies/0/depends_on"),
        (
            two(dependencies=[{"depends_on_step_number": 9}]),
            "UNKNOWN_DEPENDENCY",
            "/steps/1/dependencies/0/depends_on_step_number",
        ),
        (two(dependencies=[{"depends_on": "b"}]), "CYCLE", "/steps/1/dependencies/0"),
        (
            playbook(system(1, "A", dependencies=[{"depends_on": "b"}]), system(2, "B")),
            "CYCLE",
            "/steps/0/dependencies/0",
        ),
        (
            playbook(
                system(1, "A"),
                system(2, "B", dependencies=[{"depends_on": "c"}]),
                system(3, "C", dependencies=[{"depends_on": "a"}]),
            ),
            "DEPENDENCY_NOT_EARLIER",
            "/steps/1/dependencies/0",
        ),
        (
            two(dependencies=[{"depends_on": "a", "dependency_type": "conditional"}]),
            "REQUIRED",
            "/steps/1/dependencies/0/condition",
        ),
        (
            two(dependencies=[{"depends_on": "a", "condition": "true"}]),
            "NOT_ALLOWED",
            "/steps/1/dependencies/0/condition",
        ),
        (two(dependencies=[{"depends_on": "a", "mapping": {}}]), "NOT_ALLOWED", "/steps/1/dependencies/0/mapping"),
        (two(condition="false"), "UNREACHABLE_STEP", "/steps/1/condition"),
        (
            playbook(system(1, "A", parallel_group="g"), system(2, "B"), system(3, "C", parallel_group="g")),
            "GROUP_SPLIT",
            "/steps/2/parallel_group",
        ),
        # References
        (two(condition="1 +"), "INVALID_EXPRESSION", "/steps/1/condition"),
        (two(condition="input.a ? 1 : 2"), "CONDITION_NOT_BOOLEAN", "/steps/1/condition"),
        (two(condition="steps.aa.output.x == 1"), "UNKNOWN_REFERENCE", "/steps/1/condition"),
        (two(condition="steps.b.output.x == 1"), "REFERENCE_NOT_UPSTREAM", "/steps/1/condition"),
        (two(condition="steps.a.ouptut.x == 1"), "UNKNOWN_REFERENCE", "/steps/1/condition"),
        (two(condition="run.nosuch == 1"), "UNKNOWN_REFERENCE", "/steps/1/condition"),
        (two(condition={"field": "steps.x.status", "operator": "eq", "value": 1}), "UNKNOWN_REFERENCE",
         "/steps/1/condition/field"),
        (two(input={"x": ["${steps.b.output}"]}), "REFERENCE_NOT_UPSTREAM", "/steps/1/input/x/0"),
        (two(input="${input.a} and more"), "INVALID_MAPPING", "/steps/1/input"),
        (
            playbook(system(1, "A", parallel_group="g"), system(2, "B", parallel_group="g", input={"x": "${steps.a}"})),
            "REFERENCE_NOT_UPSTREAM",
            "/steps/1/input/x",
        ),
        (
            two(dependencies=[{"depends_on": "a", "dependency_type": "data", "mapping": {"x": "${nope.x}"}}]),
            "UNKNOWN_REFERENCE",
            "/steps/1/dependencies/0/mapping/x",
        ),
        (playbook(system(1, "A"), output={"x": "${steps.z.output}"}), "UNKNOWN_REFERENCE", "/output/x"),
        (playbook(system(1, "A", condition="input.amuont > 1"), input_contract=CLOSED), "UNKNOWN_REFERENCE",
         "/steps/0/condition"),
        (
            playbook(system(1, "A", output_contract=CLOSED), output={"x": "${steps.a.output.other}"}),
            "UNKNOWN_REFERENCE",
            "/output/x",
        ),
        (two(input={"a": 1}, config={"output": {"x": "${input.b}"}}), "UNKNOWN_REFERENCE", "/steps/1/config/output/x"),
        (
            two(
                worker_type="rules_engine",
                input={"a": 1},
                config={"rules": [{"name": "r", "when": "input.b > 1"}]},
            ),
            "UNKNOWN_REFERENCE",
            "/steps/1/config/rules/0/when",
        ),
        (
            two(worker_type="rules_engine", config={"rules": [{"name": "r", "when": "'x'"}]}),
            "CONDITION_NOT_BOOLEAN",
            "/steps/1/config/rules/0/when",
        ),
        (
            two(worker_type="rules_engine", config={"rules": [{"name": "r", "when": "true"}] * 2}),
            "DUPLICATE",
            "/steps/1/config/rules/1/name",
        ),
        (
            two(worker_type="rules_engine", config={"rules": [{"name": "r", "when": "true", "reason": "${input.a}"}]}),
            "NOT_EVALUATED",
            "/steps/1/config/rules/0/reason",
        ),
        # Handlers
        (two(worker_type="rule_engine"), "UNKNOWN_HANDLER", "/steps/1/worker_type"),
        (two(worker_type="http_request"), "UNKNOWN_HANDLER", "/steps/1/worker_type"),
        (two(config={"ouptut": {}}), "UNKNOWN_FIELD", "/steps/1/config/ouptut"),
        (two(worker_type="rules_engine"), "REQUIRED", "/steps/1/config/rules"),
        (two(step_type="external", worker_type="http_request"), "REQUIRED", "/steps/1/config/url"),
        (two(worker_type="data_validator"), "NOTHING_TO_VALIDATE", "/steps/1"),
        (two(worker_type="data_validator", config={"schema": {"type": 5}}), "INVALID_SCHEMA",
         "/steps/1/config/schema/type"),
        (two(step_type="ai", worker_type="scorer"), "REQUIRED", "/steps/1/config/provider"),
        (playbook(system(1, "A"), ai(provider="none")), "UNKNOWN_HANDLER", "/steps/1/config/provider"),
        (playbook(system(1, "A"), ai(confidence_threshold=2, on_low_confidence="fail")), "OUT_OF_RANGE",
         "/steps/1/config/confidence_threshold"),
        (playbook(system(1, "A"), ai(on_low_confidence="guess")), "NOT_ALLOWED", "/steps/1/config/on_low_confidence"),
        (playbook(system(1, "A"), ai(confidence_threshold=0.5)), "NO_REVIEWERS", "/steps/1/required_roles"),
        # Money
        (
            two(cost={"unit_amount": 1, "currency": "EUR"}) | {"policies": {"budget": {"max_cost": 5}}},
            "CURRENCY_MISMATCH",
            "/steps/1/cost/currency",
        ),
        (two(cost={"unit_amount": 0.00001}), "OUT_OF_RANGE", "/steps/1/cost/unit_amount"),
        # Errors
        (two(critical=True, on_error={"action": "continue"}), "CONFLICT", "/steps/1/on_error"),
        (two(on_error={"action": "fail", "step": "a"}), "NOT_ALLOWED", "/steps/1/on_error/step"),
        # People
        (playbook(human(1, "A", required_roles=[])), "REQUIRED", "/steps/0/required_roles"),
        (playbook(human(1, "A", config={"x": 1})), "NOT_ALLOWED", "/steps/0/config"),
        (playbook(human(1, "A", timeout_seconds=5)), "NO_EFFECT", "/steps/0/timeout_seconds"),
        (playbook(human(1, "A", output_contract={"type": "array"})), "INVALID_FORM", "/steps/0/output_contract/type"),
        (
            playbook(human(1, "A", output_contract={"properties": {"mean": {}}})),
            "RESERVED_NAME",
            "/steps/0/output_contract/properties/mean",
        ),
        (
            playbook(human(1, "A", approval_threshold=3, approval={"max_voters": 2})),
            "QUORUM_IMPOSSIBLE",
            "/steps/0/approval/max_voters",
        ),
        (two(approval_threshold=2), "NOT_ALLOWED", "/steps/1/approval_threshold"),
        (playbook(human(1, "A", approval={"different_from": ["z"]})), "UNKNOWN_REFERENCE",
         "/steps/0/approval/different_from/0"),
        (playbook(system(1, "A"), human(2, "B", approval={"different_from": ["a"]})), "INVALID_REFERENCE",
         "/steps/1/approval/different_from/0"),
        (playbook(human(1, "A", approval={"different_from": ["b"]}), human(2, "B")), "REFERENCE_NOT_UPSTREAM",
         "/steps/0/approval/different_from/0"),
        (playbook(human(1, "A", approval={"window_minutes": 5, "reminder_minutes": [1, 5]})), "OUT_OF_RANGE",
         "/steps/0/approval/reminder_minutes/1"),
        (playbook(human(1, "A", approval={"on_timeout": {"action": "approve"}})), "REQUIRED",
         "/steps/0/approval/window_minutes"),
        (playbook(human(1, "A", approval={"window_minutes": 5, "on_timeout": {"action": "escalate"}})), "REQUIRED",
         "/steps/0/approval/on_timeout/escalate_to_roles"),
        (
            playbook(
                human(1, "A", approval={
                    "window_minutes": 5, "on_timeout": {"action": "fail", "escalate_to_roles": ["boss"]}})),
            "NOT_ALLOWED",
            "/steps/0/approval/on_timeout/escalate_to_roles",
        ),
    ],
)  # fmt: skip
def test_problem_is_reported_when_a_rule_is_broken(document: dict[str, Any], code: str, pointer: str) -> None:
    assert found(document) == {(code, pointer)}


@pytest.mark.parametrize(
    "document",
    [
        two(condition="has(input.a) && steps.a.status == 'completed'"),
        two(input={"a": 1}, config={"output": {"x": "${input.a}", "y": "${steps.a.output}"}}),
        two(input="${input.part}"),
        two(input={"a": 1}, dependencies=[{"depends_on": "a", "dependency_type": "data", "mapping": {"b": 1}}],
            config={"output": {"x": "${input.a + input.b}"}}),
        two(dependencies=[{"depends_on": "a", "dependency_type": "data"}], config={"output": {"x": "${input.any}"}}),
        playbook(system(1, "A", condition="input.who.name == 'x'"), input_contract=CLOSED),
        playbook(human(1, "A", output_contract=CLOSED), output={"x": "${steps.a.output.mean.amount}"}),
        two(on_error={"action": "continue"}, critical=False),
        two(step_type="external", worker_type="http_request",
            config={"url": "https://a.example", "output": {"x": "${response.body.y}"}}),
        playbook(system(1, "A"), ai(confidence_threshold=0.5, on_low_confidence="fail")),
        playbook(human(1, "A", approval_threshold=2, approval={"max_voters": 2, "window_minutes": 9})),
    ],
)  # fmt: skip
def test_nothing_is_reported_when_the_rules_are_kept(document: dict[str, Any]) -> None:
    assert compiled(document).problems == ()


def test_neighbour_is_suggested_when_a_reference_is_misspelt() -> None:
    (problem,) = compiled(playbook(system(1, "Score Card"), output={"x": "${steps.scorecard.output}"})).problems
    assert problem.suggestion == "did you mean 'score_card'?"
    (problem,) = compiled(playbook(system(1, "A", condition="input.amuont > 1"), input_contract=CLOSED)).problems
    assert problem.suggestion == "did you mean 'input.amount'?"


groups = st.lists(st.sampled_from([None, "g", "h"]), min_size=1, max_size=8)
edges = st.lists(st.tuples(st.integers(1, 8), st.integers(1, 8)), max_size=6)


@settings(max_examples=30, deadline=None)
@given(groups, edges)
def test_order_of_a_plan_has_no_cycle(names: list[str | None], pairs: list[tuple[int, int]]) -> None:
    steps = [system(n, f"S{n}", parallel_group=group) for n, group in enumerate(names, 1)]
    for later, earlier in pairs:
        if later <= len(steps) and earlier <= len(steps):
            steps[later - 1].setdefault("dependencies", []).append({"depends_on_step_number": earlier})
    result = compiled(playbook(*steps))
    is_forward = all(earlier < later for later, earlier in pairs if max(later, earlier) <= len(steps))
    assert (result.plan is not None) is is_forward
    if result.plan is not None:
        seen: set[str] = set()
        for step in result.plan.steps:
            assert {dependency.step for dependency in step.dependencies} <= seen
            seen.add(step.key)


def test_groups_run_together_when_steps_are_neighbours() -> None:
    plan = compiled(
        playbook(
            system(1, "A"),
            system(2, "B", parallel_group="g"),
            system(3, "C", parallel_group="g"),
            system(4, "D", parallel_group="h"),
            system(5, "E", parallel_group="h", dependencies=[{"depends_on": "b"}]),
            system(6, "F", dependencies=[]),
        )
    ).plan
    assert plan is not None
    order = {step.key: {dependency.step for dependency in step.dependencies} for step in plan.steps}
    assert order == {"a": set(), "b": {"a"}, "c": {"a"}, "d": {"b", "c"}, "e": {"b"}, "f": {"d", "e"}}

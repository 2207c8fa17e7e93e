"""The worked example compiled in every detail, and the plans of small documents."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from playbooks.common import ids
from playbooks.compiler.compile import compile_playbook
from playbooks.compiler.references import RUN_NAMES
from playbooks.document.handler_catalog import HandlerDescription
from playbooks.document.model import read_document
from playbooks.engine.context import build_context
from playbooks.engine.machine import new_run
from playbooks.engine.model.plan import ApprovalPlan, BudgetPlan, Dependency, Plan, RetryPolicy
from tests.playbooks.building import VERSION_ID, compiled, grants, human, plan_of, playbook, system
from tests.support import plans


@pytest.fixture(scope="module")
def plan() -> Plan:
    return plan_of(grants())


def test_plan_describes_the_grants_playbook(plan: Plan) -> None:
    assert (plan.playbook_id, plan.code, plan.version, plan.industry) == (
        VERSION_ID,
        "grants-intake",
        1,
        "PUBLICSECTOR",
    )
    assert plan.name == "Grants Intake & Review"
    assert plan.currency == "USD"
    assert plan.run_smart_code == "HERA.PUBLICSECTOR.PLAYBOOK.RUN.GRANTS_INTAKE.V1"
    assert plan.budget == BudgetPlan(max_cost=Decimal(100), currency="USD", on_exceed="pause")
    assert plan.timeout_minutes == 4320
    assert plan.final_steps == ("award_decision",)
    assert plan.sensitive_input == ("/contact_email", "/tax_id")
    assert plan.sensitive_output == ()
    assert plan.output_references == (
        ("steps", "award_decision", "output", "award_amount"),
        ("steps", "award_decision", "output", "award_status"),
        ("steps", "award_decision", "output", "decision_rationale"),
        ("steps", "award_decision", "output", "final_score"),
        ("steps", "register_application", "output", "application_id"),
    )


@pytest.mark.parametrize(
    ("key", "carrier", "cost", "estimate", "dependencies", "has_condition"),
    [
        ("register_application", "task", 25, 30, (), False),
        ("eligibility_screen", "pure", 2, 1, (Dependency(step="register_application"),), False),
        ("score_proposal", "effect", 8, 5, (Dependency(step="eligibility_screen", kind="conditional"),), True),
        ("committee_review", "task", 15, 120, (Dependency(step="score_proposal", kind="data"),), False),
        ("award_decision", "pure", 3, 3, (Dependency(step="committee_review"),), True),
    ],
)
def test_plan_resolves_the_steps_of_grants(
    plan: Plan, key: str, carrier: str, cost: int, estimate: int, dependencies: Any, has_condition: bool
) -> None:
    step = plan.step(key)
    assert (step.carrier, step.cost, step.estimated_minutes) == (carrier, cost, estimate)
    assert step.dependencies == dependencies
    assert step.has_condition is has_condition
    assert step.step_id == ids.step_entity_id(VERSION_ID, key)
    assert step.smart_code == f"HERA.PUBLICSECTOR.PLAYBOOK.STEP.EXEC.{key.upper()}.V1"
    assert step.retry == RetryPolicy(retry_on_errors=("timeout", "network", "temporary_failure"))
    assert not step.own_retry
    assert step.critical
    assert step.timeout_seconds == 300


@pytest.mark.parametrize(
    ("key", "references"),
    [
        ("register_application", [("input",)]),
        (
            "eligibility_screen",
            [
                ("input", "amount_requested"),
                ("input", "applicant_type"),
                ("steps", "register_application", "output", "complete"),
            ],
        ),
        ("score_proposal", [("input",), ("steps", "eligibility_screen", "output", "passed")]),
        (
            "committee_review",
            [
                ("input", "amount_requested"),
                ("input", "applicant_name"),
                ("input", "project_title"),
                ("steps", "score_proposal", "output", "rationale"),
                ("steps", "score_proposal", "output", "total_score"),
            ],
        ),
        (
            "award_decision",
            [
                ("input", "amount_requested"),
                ("steps", "committee_review", "output", "decision"),
                ("steps", "committee_review", "output", "mean", "score"),
                ("steps", "committee_review", "status"),
                ("steps", "register_application", "status"),
                ("steps", "score_proposal", "output", "total_score"),
                ("steps", "score_proposal", "status"),
            ],
        ),
    ],
)
def test_steps_of_grants_read_only_what_they_name(plan: Plan, key: str, references: Any) -> None:
    assert list(plan.step(key).references) == references


def test_plan_has_the_approval_rules_of_grants(plan: Plan) -> None:
    assert plan.step("register_application").approval == ApprovalPlan(on_reject="fail")
    assert plan.step("register_application").required_roles == ("intake_specialist",)
    assert plan.step("committee_review").approval == ApprovalPlan(
        threshold=3,
        max_voters=7,
        consensus=0.67,
        self_approval=False,
        different_from=("register_application",),
        window_minutes=2880,
        reminder_minutes=(1440, 2640),
        on_timeout="escalate",
        escalate_to_roles=("grants_director",),
    )
    assert plan.step("score_proposal").review_on_low_confidence
    assert plan.step("eligibility_screen").approval is None


def test_marks_of_grants_travel_no_further_than_mapped(plan: Plan) -> None:
    marks = {step.key: (step.sensitive_input, step.sensitive_output) for step in plan.steps}
    assert marks == {
        "register_application": (("/contact_email", "/tax_id"), ()),
        "eligibility_screen": ((), ()),
        "score_proposal": ((), ()),
        "committee_review": ((), ()),
        "award_decision": ((), ()),
    }


def test_grants_warns_only_of_the_missing_reviewers() -> None:
    result = compiled(grants())
    assert result.errors == ()
    assert [(item.code, item.pointer) for item in result.warnings] == [("NO_REVIEWERS", "/steps/2/required_roles")]


def test_plan_is_equal_when_compiled_twice(plan: Plan) -> None:
    assert plan_of(grants()) == plan


def test_policies_are_layered_when_a_step_has_its_own() -> None:
    retry = {"max_retries": 5, "initial_delay_ms": 10}
    document = playbook(
        system(1, "A", retry={"max_retries": 0}, timeout_seconds=5),
        system(2, "B", critical=False),
        system(3, "C", on_error={"action": "continue"}),
        policies={"retry": retry},
    )
    first, second, third = plan_of(document).steps
    assert first.retry == RetryPolicy(max_retries=0, initial_delay_ms=10)
    assert (first.own_retry, first.timeout_seconds, first.critical) == (True, 5, True)
    assert second.retry == RetryPolicy(max_retries=5, initial_delay_ms=10)
    assert (second.own_retry, second.critical, third.critical) == (False, False, False)


def test_carrier_follows_the_handler_when_steps_differ() -> None:
    document = playbook(
        system(1, "Wait", worker_type="timer", config={"duration_seconds": 1}),
        system(2, "Tell", worker_type="notification_sender"),
        system(3, "Make"),
        {**system(4, "Call"), "step_type": "external", "worker_type": "http_request", "config": {"url": "https://a.example"}},
        human(5, "Look"),
    )  # fmt: skip
    assert [step.carrier for step in plan_of(document).steps] == ["timer", "effect", "pure", "effect", "task"]


def test_handler_of_a_package_is_known_when_given() -> None:
    extra = HandlerDescription(
        name="ledger_poster",
        step_type="system",
        is_pure=False,
        config_schema={"type": "object", "properties": {"text": {"type": "string"}}, "additionalProperties": False},
        summary="Posts.",
        templates=("/text",),
    )
    document = read_document(playbook(system(1, "Post", worker_type="ledger_poster", config={"text": "${run.id}"})))
    result = compile_playbook(document, playbook_id=VERSION_ID, version=1, handlers={"ledger_poster": extra})
    assert result.plan is not None
    assert result.plan.steps[0].references == (("input",), ("run", "id"))


def test_config_reads_are_known_when_they_name_the_run() -> None:
    config = {"output": {"x": "${input.a}", "y": "${steps.a.output.z}", "t": "${vars.limit}"}}
    document = playbook(system(1, "A"), system(2, "B", input={"a": "${input.k}"}, config=config))
    assert plan_of(document).step("b").references == (("input", "k"), ("steps", "a", "output", "z"), ("vars", "limit"))


def test_references_cover_all_before_when_a_key_is_computed() -> None:
    document = playbook(
        system(1, "A"), system(2, "B"), system(3, "C", input={"x": "${steps[input.which].output}"}), system(4, "D")
    )
    assert plan_of(document).step("c").references == (("input", "which"), ("steps", "a"), ("steps", "b"))


def test_whole_outputs_are_read_when_a_data_dependency_has_no_mapping() -> None:
    data: dict[str, Any] = {"depends_on": "a", "dependency_type": "data"}
    mapped = {**data, "mapping": {"x": "${steps.a.output.y}"}}
    plan = plan_of(
        playbook(
            system(1, "A"),
            system(2, "B", dependencies=[data]),
            system(3, "C", dependencies=[mapped]),
            system(4, "D", dependencies=[data], input={"k": 1}),
            system(5, "E", dependencies=[mapped], input={"k": 1}),
        )
    )
    assert [step.references for step in plan.steps] == [
        (("input",),),
        (("input",), ("steps", "a", "output")),
        (("input",), ("steps", "a", "output", "y")),
        (),
        (("steps", "a", "output", "y"),),
    ]


def test_final_steps_are_those_nothing_waits_for_when_branches_end() -> None:
    document = playbook(
        system(1, "A"),
        system(2, "B", dependencies=[{"depends_on": "a"}]),
        system(3, "C", dependencies=[{"depends_on_step_number": 1}]),
    )
    assert plan_of(document).final_steps == ("b", "c")


def test_names_of_a_run_are_those_of_its_context_when_expressions_read_them() -> None:
    state = new_run(plans.run_input(plans.plan_of(plans.step("a", 1))))
    context, _ = build_context(state, [("run",)])
    assert isinstance(context["run"], dict)
    assert set(context["run"]) == set(RUN_NAMES)


def test_plan_is_refused_when_it_is_too_large() -> None:
    mapping = {"x": "${steps[input.which].status}"}
    document = playbook(*(system(n, f"A rather long name for a step {n}", input=mapping) for n in range(1, 251)))
    assert [item.code for item in compiled(document).errors] == ["PLAN_TOO_LARGE"]


def test_currency_is_one_when_steps_name_it() -> None:
    costs = [{"unit_amount": 0.1, "currency": "EUR"}, {"unit_amount": 0.2}]
    plan = plan_of(playbook(*(system(n, f"S{n}", cost=cost) for n, cost in enumerate(costs, 1))))
    assert plan.currency == "EUR"
    assert [step.cost for step in plan.steps] == [Decimal("0.1"), Decimal("0.2")]

"""A simulation applies the real rules: the path, the decisions, the clock, and the bounds."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from playbooks.simulation.estimating import estimate_of
from playbooks.simulation.given import Given, GivenVote, problems_of
from playbooks.simulation.outcome import Simulated
from tests.playbooks.building import EXAMPLES, grants, human, plan_of, playbook, system
from tests.playbooks.simulating import BEGIN, approve, codes, fails, gives, played, statuses
from tests.support.plans import INITIATOR

INPUT: dict[str, Any] = json.loads((EXAMPLES / "grants-intake.input.json").read_text())
CALL: dict[str, Any] = {"step_type": "external", "worker_type": "http_request", "config": {"url": "https://a.example"}}
CONTRACT: dict[str, Any] = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer", "minimum": 3}}}


def call(number: int, name: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "step_number": number, **CALL, **fields}


def decided(simulated: Simulated) -> list[tuple[str, str | None]]:
    """Names of the voters, each with the code of the refusal."""
    return [(item.actor.name, item.verdict.code if item.verdict else "unanswered") for item in simulated.decisions]


# -- a whole run -----------------------------------------------------------------------------------------------------


def test_grants_are_awarded_when_people_and_scripts_decide_as_in_a_run() -> None:
    votes = [approve(name, data={"score": score}) for name, score in (("a", 80), ("b", 90), ("c", 85.5))]
    done = played(grants(), INPUT, votes={"register_application": [approve("ines")], "committee_review": votes})
    assert done.ending == "completed", done.state.error
    assert done.state.output == {
        "application_id": "APP-0000-00000000",
        "award_status": "awarded",
        "award_amount": 50000.0,
        "final_score": pytest.approx(0.4 * 84.2 + 0.6 * 85.1666667),
        "decision_rationale": "Decided on the weighted proposal and committee scores.",
    }
    assert done.state.cost == Decimal(53)
    assert [visit.source for visit in done.visits.values()] == [None, "evaluated", "scripted", None, "evaluated"]
    estimate = estimate_of(done)
    assert estimate.elapsed == timedelta(minutes=159)
    assert (estimate.critical_minutes, len(estimate.critical_path)) == (159.0, 5)
    assert codes(done) == []


def test_equal_arguments_give_equal_simulations_when_played_twice() -> None:
    assert played(grants(), INPUT, approves=True) == played(grants(), INPUT, approves=True)


def test_a_skipped_step_reports_the_values_its_condition_read() -> None:
    done = played(grants(), {**INPUT, "applicant_type": "tribal"}, approves=True)
    assert statuses(done) == {
        "register_application": "completed",
        "eligibility_screen": "completed",
        "score_proposal": "skipped",
        "committee_review": "skipped",
        "award_decision": "completed",
    }
    skipped = done.visits["score_proposal", 1]
    assert skipped.values == {"steps.eligibility_screen.output.passed": False}
    assert "eligibility_screen" in (skipped.step.reason or "")
    assert not skipped.has_begun
    assert "score_proposal" not in estimate_of(done).critical_path


# -- results ---------------------------------------------------------------------------------------------------------


def test_an_attempt_is_made_again_when_the_given_error_is_of_a_kind_that_is_retried() -> None:
    retry = {"max_retries": 2, "initial_delay_ms": 30_000}
    document = playbook(call(1, "Call", retry=retry, estimated_duration_minutes=1, output_contract=CONTRACT))
    done = played(document, attempts={"call": [fails(), gives({"n": 5})]})
    assert (done.ending, done.state.output) == ("completed", {"call": {"n": 5}})
    assert [attempt.error is None for attempt in done.state.steps["call"].attempts] == [False, True]
    assert done.ended_at - BEGIN == timedelta(minutes=2, seconds=30)
    for_good = played(document, attempts={"call": [fails("business_rule")]})
    assert (for_good.ending, len(for_good.state.steps["call"].attempts)) == ("failed", 1)


def test_the_last_result_answers_all_that_follow_when_attempts_go_on() -> None:
    done = played(playbook(call(1, "Call", retry={"max_retries": 3})), attempts={"call": [fails("timeout")]})
    step = done.state.steps["call"]
    assert (done.ending, len(step.attempts), step.error and step.error.kind) == ("failed", 4, "timeout")
    assert done.ended_at - BEGIN == timedelta(seconds=4 * 300 + 1 + 2 + 4)


def test_an_attempt_times_out_when_it_is_given_longer_than_its_timeout() -> None:
    document = playbook(call(1, "Call", timeout_seconds=10, retry={"max_retries": 0}))
    done = played(document, attempts={"call": [gives({}, duration=timedelta(seconds=11))]})
    assert done.state.error is not None
    assert (done.state.error.code, done.ended_at - BEGIN) == ("STEP_TIMEOUT", timedelta(seconds=10))


def test_a_given_output_is_refused_when_it_breaks_the_contract() -> None:
    done = played(playbook(call(1, "Call", output_contract=CONTRACT)), attempts={"call": [gives({"n": 2})]})
    assert done.state.error is not None
    assert (done.ending, done.state.error.code) == ("failed", "CONTRACT_VALIDATION_FAILED")


def test_an_output_is_generated_when_none_is_given() -> None:
    done = played(playbook(call(1, "Call", output_contract=CONTRACT), call(2, "Tell")))
    assert done.visits["call", 1].source == "generated"
    assert done.state.steps["call"].output == {"n": 3}
    assert codes(done) == [("NO_CONTRACT", "/steps/1")]


def test_a_step_fails_with_a_pointer_when_its_contract_allows_nothing_that_can_be_made() -> None:
    contract = {"type": "object", "required": ["n"], "properties": {"n": {"allOf": [{"const": 1}, {"const": 2}]}}}
    done = played(playbook(call(1, "Call", output_contract=contract)))
    assert done.ending == "failed"
    assert codes(done) == [("CANNOT_GENERATE", "/steps/0/output_contract/properties/n")]


def test_settings_are_resolved_when_an_effect_is_replaced() -> None:
    config = {"url": "https://a.example/${input.missing}"}
    done = played(playbook(call(1, "Call", config=config)))
    assert done.state.error is not None
    assert (done.ending, done.state.error.pointer) == ("failed", "/input/missing")


def test_a_pure_step_is_given_a_result_when_its_failure_is_to_be_tried() -> None:
    done = played(playbook(system(1, "Make", critical=False), system(2, "Go On")), attempts={"make": [fails("system")]})
    assert statuses(done) == {"make": "failed", "go_on": "completed"}


def test_confidence_asks_for_a_person_when_it_is_given_too_low() -> None:
    config = {"provider": "scripted", "confidence_threshold": 0.8, "script": [{"output": {}, "confidence": 1}]}
    step = {"name": "Score", "step_number": 1, "step_type": "ai", "worker_type": "scorer", "config": config}
    document = playbook({**step, "required_roles": ["clerk"]})
    unsure = {"score": [gives({"total": 3}, confidence=0.4, cost=Decimal("0.25"))]}
    assert played(document, attempts=unsure).waiting[0].roles == ("clerk",)
    done = played(document, attempts=unsure, approves=True)
    assert (done.ending, done.state.output, done.state.cost) == ("completed", {"score": {"total": 3}}, Decimal("0.25"))


# -- people ----------------------------------------------------------------------------------------------------------


def test_it_waits_and_names_the_roles_when_no_vote_is_given() -> None:
    document = playbook(human(1, "Approve", approval_threshold=2), policies={"timeout_minutes": 60})
    done = played(document, votes={"approve": [approve("anna")]})
    assert done.ending == "waiting"
    waiting = done.waiting[0]
    assert (waiting.step, waiting.roles, waiting.approvals_required, waiting.approvals_received) == (
        "approve",
        ("clerk",),
        2,
        1,
    )


@pytest.mark.parametrize(
    ("action", "decision", "minutes"),
    [
        ("approve", "approved", 30),
        ("reject", "rejected", 30),
        ("timed_out", "timed_out", 30),
        ("escalate", "timed_out", 60),
    ],
)
def test_the_window_decides_when_no_vote_is_given(action: str, decision: str, minutes: int) -> None:
    on_timeout = {"action": action, **({"escalate_to_roles": ["chief"]} if action == "escalate" else {})}
    document = playbook(human(1, "Approve", approval={"window_minutes": 30, "on_timeout": on_timeout}))
    done = played(document)
    assert (done.ending, done.ended_at - BEGIN) == ("completed", timedelta(minutes=minutes))
    output = done.state.steps["approve"].output
    assert isinstance(output, dict)
    assert output["decision"] == decision


def test_a_decision_comes_too_late_when_it_is_given_after_the_window() -> None:
    document = playbook(human(1, "Approve", approval={"window_minutes": 30}))
    late = played(document, votes={"approve": [approve("anna", after=timedelta(minutes=31))]})
    assert isinstance(late.state.steps["approve"].output, dict)
    assert late.state.steps["approve"].output["decision"] == "timed_out"
    assert late.decisions == ()


def test_people_are_refused_as_in_a_run_when_they_may_not_decide() -> None:
    form = {"type": "object", "required": ["score"], "properties": {"score": {"type": "integer"}}}
    document = playbook(human(1, "Approve", approval={"self_approval": False}, output_contract=form))
    initiator = str(INITIATOR.id)
    votes = [
        approve(initiator),
        approve("bob", roles=("visitor",)),
        approve("cora", data={"score": "high"}),
        GivenVote(choice="reject", by="dan"),
    ]
    done = played(document, votes={"approve": votes})
    assert decided(done) == [
        (initiator, "SELF_APPROVAL"),
        ("bob", "NOT_ELIGIBLE"),
        ("cora", "CONTRACT_VALIDATION_FAILED"),
        ("dan", None),
    ]
    assert done.ending == "completed"


def test_as_many_people_approve_as_are_needed_when_it_may_approve_by_itself() -> None:
    rules = {"max_voters": 9, "consensus": 0.67, "different_from": ["first"], "self_approval": False}
    document = playbook(human(1, "First"), human(2, "Second", approval_threshold=2, approval=rules))
    done = played(document, votes={"second": [GivenVote(choice="reject", by="nay")]}, approves=True)
    assert done.ending == "completed"
    assert len(done.decisions) == 1 + 1 + 3
    assert len({item.actor.id for item in done.decisions}) == 5
    assert [item.is_given for item in done.decisions] == [False, True, False, False, False]


def test_it_waits_and_points_at_the_form_when_no_form_can_be_made() -> None:
    form = {"type": "object", "required": ["a"], "properties": {"a": {"not": {}}}}
    done = played(playbook(system(1, "Make"), human(2, "Approve", output_contract=form)), approves=True)
    assert (done.ending, done.waiting[0].step) == ("waiting", "approve")
    assert codes(done) == [("CANNOT_GENERATE", "/steps/1/output_contract/properties/a")]


def test_given_data_is_refused_or_reported_when_it_fits_no_step_or_is_unused() -> None:
    document = playbook(
        system(1, "Make"), human(2, "Approve"), system(3, "Wait", worker_type="timer", config={"duration_seconds": 1})
    )
    plan = plan_of(document)
    given = Given(attempts={"approve": (), "mak": (), "wait": ()}, votes={"make": (), "approve": ()})
    assert [(item.pointer, item.code) for item in problems_of(given, plan)] == [
        ("/simulation/step_results/approve", "NOT_ALLOWED"),
        ("/simulation/step_results/mak", "UNKNOWN_STEP"),
        ("/simulation/step_results/wait", "NOT_ALLOWED"),
        ("/simulation/decisions/make", "NOT_ALLOWED"),
    ]
    done = played(document, attempts={"make": [gives({}), gives({})]}, votes={"approve": [approve(), approve()]})
    assert codes(done) == [
        ("NOT_USED", "/simulation/step_results/make/1"),
        ("NOT_USED", "/simulation/decisions/approve/1"),
    ]


# -- the clock and its bounds ----------------------------------------------------------------------------------------


def test_timers_pass_when_the_clock_is_virtual() -> None:
    timer = system(1, "Wait", worker_type="timer", config={"duration_minutes": "${input.minutes}"})
    done = played(playbook(timer, system(2, "Go On")), {"minutes": 60 * 24 * 30})
    assert (done.ending, done.ended_at - BEGIN) == ("completed", timedelta(days=30))


def test_parallel_steps_overlap_when_they_take_their_estimates() -> None:
    group = {"parallel_group": "both"}
    document = playbook(
        call(1, "Short", estimated_duration_minutes=10, **group),
        call(2, "Long", estimated_duration_minutes=40, **group),
        call(3, "Last", estimated_duration_minutes=5),
    )
    done = played(document)
    estimate = estimate_of(done)
    assert estimate.elapsed == timedelta(minutes=45)
    assert (estimate.critical_path, estimate.critical_minutes, estimate.work_minutes) == (("long", "last"), 45.0, 55.0)


def test_the_deadline_ends_the_run_when_work_goes_on_beyond_it() -> None:
    document = playbook(call(1, "Long", estimated_duration_minutes=90), policies={"timeout_minutes": 60})
    done = played(document)
    assert done.state.error is not None
    assert (done.state.error.code, done.ended_at - BEGIN) == ("RUN_TIMEOUT", timedelta(minutes=60))


def test_the_budget_pauses_it() -> None:
    document = playbook(system(1, "Dear", cost={"unit_amount": 5}), policies={"budget": {"max_cost": 1}})
    done = played(document)
    assert (done.ending, done.waiting[0].kind) == ("paused", "resume")


def test_it_stops_and_reports_the_bound_it_reached() -> None:
    steps = [system(number, f"Step {number}") for number in range(1, 20)]
    done = played(playbook(*steps), bounds={"max_events": 10})
    assert (done.ending, done.events_received, codes(done)) == ("stopped", 10, [("SIMULATION_LIMIT", "")])
    asked: list[int] = []
    done = played(playbook(*steps), bounds={"is_over": lambda: len(asked) > 4 or asked.append(1)})
    assert (done.ending, done.events_received) == ("stopped", 5)


def test_it_is_stopped_when_its_clock_leaves_the_calendar() -> None:
    retry = {"max_retries": 100, "initial_delay_ms": 0}
    long = {"estimated_duration_minutes": 60 * 24 * 366 * 10, "critical": False, "retry": retry}
    steps = [call(number, f"Call {number}", **long) for number in range(1, 10)]
    done = played(playbook(*steps), attempts={f"call_{number}": [fails()] for number in range(1, 10)})
    assert (done.ending, codes(done)[0]) == ("stopped", ("SIMULATION_LIMIT", ""))


def test_events_are_those_of_a_debugged_run() -> None:
    done = played(playbook(system(1, "Make", condition="input.ok")), {"ok": True, "n": 1}, debug=True)
    assert [event.kind for event in done.events] == [
        "run_started",
        "step_started",
        "step_evaluated",
        "step_completed",
        "run_completed",
    ]
    assert [event.number for event in done.events] == [2, 3, 4, 5, 6]
    assert done.visits["make", 1].values == {"input.ok": True}

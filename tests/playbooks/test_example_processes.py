"""The example processes, played through by the real rules: each on its usual way and on others."""

from __future__ import annotations

import json
from datetime import timedelta
from functools import cache
from typing import Any

import pytest

from playbooks.document import read_document
from playbooks.evaluation.steps import Version
from playbooks.simulation.driver import simulate
from playbooks.simulation.given import Given, GivenVote
from playbooks.simulation.outcome import Simulated
from tests.playbooks.building import EXAMPLES, compiled, plan_of
from tests.playbooks.simulating import BEGIN, fails, gives, statuses
from tests.support.plans import INITIATOR, run_input

NAMES = ("loan-approval", "patient-onboarding", "building-permit", "bill-approval")
ADDRESSES = (
    *("bureaus_url", "core_banking_url", "ehr_url", "payer_url", "reader_url", "scheduling_url"),
    *("finance_url", "register_url", "erp_url"),
)
VARIABLES = {name: f"https://{name.removesuffix('_url').replace('_', '-')}.example" for name in ADDRESSES}


def example(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The document and its input."""
    texts = ((EXAMPLES / f"{name}.{part}.json").read_text() for part in ("playbook", "input"))
    document, given = (json.loads(text) for text in texts)
    return document, given


@cache
def version(name: str) -> Version:
    document, _ = example(name)
    return Version(read_document(document), plan_of(document))


def tried(name: str, changes: dict[str, Any] | None, attempts: Any, votes: Any) -> Simulated:
    plan, value = version(name).plan, example(name)[1]
    given = Given(
        attempts={key: tuple(items) for key, items in attempts.items()},
        votes={key: tuple(items) for key, items in votes.items()},
    )
    start = run_input(plan, input={**value, **(changes or {})}, variables=VARIABLES)
    return simulate(version(name), start, given, at=BEGIN)


def output(done: Simulated, key: str | None = None) -> dict[str, Any]:
    """The output of a step, or of the run."""
    held = done.state.output if key is None else done.state.steps[key].output
    assert isinstance(held, dict), (done.ending, done.waiting, done.state.error)
    return held


def kinds(done: Simulated) -> list[str]:
    return [event.kind for event in done.events]


def step_of(kind: str, done: Simulated) -> list[str | None]:
    return [event.step for event in done.events if event.kind == kind]


def say(choice: Any, by: str, **fields: Any) -> GivenVote:
    return GivenVote(choice=choice, by=by, **fields)


def accepted(signal: str, days: int = 1) -> Any:
    return gives({"signal": signal}, duration=timedelta(days=days))


@pytest.mark.parametrize("name", NAMES)
def test_example_can_be_published_without_a_warning_when_it_is_compiled(name: str) -> None:
    assert compiled(example(name)[0]).problems == ()


# -- the loan --------------------------------------------------------------------------------------------------------

REPORT = {"score": 712, "delinquencies": 0}
COLLECTED = GivenVote(choice="approve", by="lena", data={"payslips": 3, "identity_checked": True})
GRANT = {"approved_amount": 18000, "annual_rate": 6.4}
BOOKED = {
    "reserve_funds": [gives({"reservation_id": "R-0001"})],
    "open_loan_account": [gives({"account_id": "LA-000001"})],
    "pay_out": [gives({"payment_reference": "PAY-000001"})],
}


def loan(changes: dict[str, Any] | None = None, **given: Any) -> Simulated:
    reports = {f"bureau_{name}": [gives(REPORT)] for name in ("alpha", "beta", "gamma")}
    attempts = {**reports, **BOOKED, "await_acceptance": [accepted("offer_accepted")], **given.get("attempts", {})}
    votes = {
        "collect_documents": [COLLECTED],
        "underwriter_decision": [say("approve", "umar", data=GRANT)],
        **given.get("votes", {}),
    }
    return tried("loan-approval", changes, attempts, votes)


def test_a_loan_is_paid_out_when_two_bureaus_answer_and_the_customer_accepts() -> None:
    done = loan()
    assert done.ending == "completed", done.state.error
    assert output(done) == {
        "application_id": "LN-2025-000417",
        "outcome": "paid_out",
        "amount": 18000.0,
        "annual_rate": 6.4,
        "payment_reference": "PAY-000001",
        "reasons": [],
    }
    assert statuses(done)["bureau_gamma"] == "cancelled", "two reports were there before the third"
    assert statuses(done)["credit_committee"] == "skipped"
    assert step_of("step_cancelled", done) == ["bureau_gamma"]
    assert output(done, "combine_reports") == {"score": 712, "reports": 2, "has_delinquencies": False}


def test_booking_steps_follow_each_other_when_they_exclude_each_other() -> None:
    done = loan()
    first, second = (done.state.steps[key] for key in ("reserve_funds", "open_loan_account"))
    assert first.completed_at is not None
    assert second.started_at is not None
    assert second.started_at >= first.completed_at > (first.started_at or second.started_at)


def test_an_analyst_looks_when_fewer_than_two_bureaus_answer() -> None:
    away = {"bureau_beta": [fails()], "bureau_gamma": [fails("system")]}
    form = {"score": 690, "source": "bank statements"}
    done = loan(attempts=away, votes={"manual_credit_check": [say("approve", "ana", data=form)]})
    assert (done.ending, output(done)["outcome"]) == ("completed", "paid_out")
    assert statuses(done)["combine_reports"] == "skipped"
    assert output(done, "credit_profile")["score"] == 690.0
    assert len(done.state.steps["bureau_beta"].attempts) == 3, "the network was tried again, a defect was not"
    assert len(done.state.steps["bureau_gamma"].attempts) == 1


def test_a_loan_is_declined_with_reasons_when_the_policy_is_broken() -> None:
    done = loan({"monthly_income": 1500, "term_months": 96})
    assert output(done)["outcome"] == "declined"
    assert output(done)["reasons"] == [
        "Car loans end after 84 months",
        "Debts and the new instalment exceed 45% of the income",
    ]
    assert {statuses(done)[key] for key in ("bureau_alpha", "credit_assessment", "send_offer")} == {"skipped"}


def test_documents_are_collected_again_when_the_underwriter_asks_for_changes() -> None:
    asks = [say("request_changes", "umar", comment="a payslip is missing"), say("approve", "umar", data=GRANT)]
    done = loan(votes={"underwriter_decision": asks, "collect_documents": [COLLECTED] * 2})
    assert output(done)["outcome"] == "paid_out"
    assert [visit for key, visit in done.visits if key == "collect_documents"] == [1, 2]
    assert step_of("went_back", done) == ["underwriter_decision"]
    assert done.visits["underwriter_decision", 1].step.status == "completed"


def test_the_run_fails_when_changes_are_asked_for_more_often_than_is_allowed() -> None:
    asks = [say("request_changes", "umar", comment=str(number)) for number in range(4)]
    done = loan(votes={"underwriter_decision": asks, "collect_documents": [COLLECTED] * 4})
    assert done.state.error is not None
    assert (done.ending, done.state.error.code) == ("failed", "LOOP_LIMIT")


def test_the_committee_votes_when_the_loan_is_large() -> None:
    large = {"approved_amount": 90000, "annual_rate": 5.9}
    votes = {
        "underwriter_decision": [say("approve", "umar", data=large)],
        "credit_committee": [
            say("approve", "umar", data={}),
            say("approve", str(INITIATOR.id), data={}),
            say("reject", "cora"),
            say("approve", "carl", data={}),
            say("approve", "cleo", data={}),
        ],
    }
    done = loan({"amount": 90000, "purpose": "home_improvement", "monthly_income": 9000}, votes=votes)
    assert output(done)["outcome"] == "paid_out"
    refused = [each.verdict.code for each in done.decisions if each.verdict and each.verdict.code]
    assert refused == ["SELF_APPROVAL", "SELF_APPROVAL"]
    assert output(done, "credit_committee")["counts"] == {
        "approve": 2,
        "reject": 1,
        "abstain": 0,
        "request_changes": 0,
    }


@pytest.mark.parametrize(
    ("answer", "outcome"), [([], "offer_expired"), ([accepted("offer_declined", 3)], "offer_declined")]
)
def test_nothing_is_booked_when_the_offer_is_not_accepted(answer: list[Any], outcome: str) -> None:
    done = loan(attempts={"await_acceptance": answer})
    assert output(done)["outcome"] == outcome
    assert {statuses(done)[key] for key in BOOKED} == {"skipped"}
    waited = done.state.steps["await_acceptance"]
    assert waited.started_at is not None
    assert waited.completed_at is not None
    assert (waited.completed_at - waited.started_at).days == (3 if answer else 14)


def test_bookings_are_undone_in_reverse_order_when_the_payout_fails_for_good() -> None:
    undone = {"reserve_funds!undo": [fails("temporary_failure"), gives({})], "open_loan_account!undo": [gives({})]}
    done = loan(attempts={"pay_out": [fails("permission")], **undone})
    assert (done.ending, done.state.error and done.state.error.kind) == ("failed", "permission")
    started = [step for step in step_of("step_started", done) if step and step.endswith("!undo")]
    assert started == ["open_loan_account!undo", "reserve_funds!undo", "reserve_funds!undo"]
    assert statuses(done)["reserve_funds!undo"] == statuses(done)["open_loan_account!undo"] == "completed"
    assert done.visits["reserve_funds!undo", 1].step.input == {"reservation_id": "R-0001"}


def test_the_run_stays_alive_when_the_account_cannot_be_opened() -> None:
    done = loan(attempts={"open_loan_account": [fails("validation")]})
    assert done.ending == "waiting"
    assert [(each.kind, each.step) for each in done.waiting] == [("step", "open_loan_account")]
    assert step_of("incident_opened", done) == ["open_loan_account"]


def test_a_person_corrects_the_assessment_when_the_model_is_not_sure() -> None:
    unsure = gives({"risk_grade": "C", "annual_rate": 9.0, "rationale": "Hard to say from this."}, confidence=0.5)
    right = {"risk_grade": "B", "annual_rate": 7.5, "rationale": "The employer is known to pay late."}
    done = loan(
        attempts={"credit_assessment": [unsure]}, votes={"credit_assessment": [say("approve", "ana", data=right)]}
    )
    assert output(done)["outcome"] == "paid_out"
    assert output(done, "credit_assessment") == right


def test_the_run_is_paused_when_the_budget_does_not_allow_the_next_step() -> None:
    large = {"approved_amount": 90000, "annual_rate": 5.9}
    asks = [*[say("request_changes", "umar")] * 3, say("approve", "umar", data=large)]
    votes = {"underwriter_decision": asks, "collect_documents": [COLLECTED] * 4}
    done = loan({"amount": 90000, "purpose": "home_improvement", "monthly_income": 9000}, votes=votes)
    assert (done.ending, done.waiting[0].kind) == ("paused", "resume")
    assert statuses(done)["credit_committee"] == "in_progress"


# -- the patient -----------------------------------------------------------------------------------------------------

DAY = "2026-04-01T09:00:00Z"
TRIAGE = {"urgency": "soon", "specialty": "orthopaedics"}


def patient(changes: dict[str, Any] | None = None, **given: Any) -> Simulated:
    attempts = {
        "register_patient": [gives({"patient_id": "P-000001"})],
        "insurance_check": [gives({"request_id": "E-0001"})],
        "eligibility_result": [gives({"status": "pending", "copay": 0.0}), gives({"status": "active", "copay": 10})],
        "read_documents": [gives({"kind": "referral", "text": "knee pain"})],
        "await_consent": [gives({"signal": "consent_signed"}, duration=timedelta(hours=3))],
        "slot_north": [gives({"site": "north", "starts_at": DAY})],
        "book_appointment": [gives({"appointment_id": "A-00001", "site": "north", "starts_at": DAY})],
        **given.get("attempts", {}),
    }
    votes = {
        "triage": [say("approve", "nora", data=TRIAGE)],
        "physician_review": [say("approve", "paul", data={})],
        **given.get("votes", {}),
    }
    return tried("patient-onboarding", changes, attempts, votes)


def test_a_patient_is_onboarded_when_covered_and_consenting() -> None:
    done = patient()
    assert output(done) == {
        "patient_id": "P-000001",
        "outcome": "onboarded",
        "covered": True,
        "unread_documents": 0,
        "appointment": {"appointment_id": "A-00001", "site": "north", "starts_at": DAY},
    }
    assert statuses(done)["slot_south"] == "cancelled", "the first site that answers gets the patient"
    assert statuses(done)["financial_counselling"] == statuses(done)["erase_record"] == "skipped"
    assert [visit for key, visit in done.visits if key == "eligibility_result"] == [1, 2]
    first, second = (done.visits["eligibility_result", visit].step for visit in (1, 2))
    assert first.completed_at is not None
    assert second.started_at is not None
    assert second.started_at - first.completed_at == timedelta(0)
    assert [event.data["holds"] for event in done.events if event.kind == "repeat_tested"] == [True, False]


def test_documents_are_read_three_at_a_time_when_there_are_more() -> None:
    done = patient()
    items = [done.visits[f"read_documents[{index}]", 1].step for index in range(4)]
    assert [item.status for item in items] == ["completed"] * 4
    begun = sorted(item.started_at for item in items if item.started_at)
    ended = min(item.completed_at for item in items if item.completed_at)
    assert sum(at < ended for at in begun) == 3
    assert output(done, "read_documents")["count"] == 4
    assert items[1].input == {"id": "D-0002", "kind": "lab_result", "password": "okafor-79", "position": 1}


@pytest.mark.parametrize(("failures", "ending"), [(1, "completed"), (2, "failed")])
def test_unread_documents_are_tolerated_up_to_one(failures: int, ending: str) -> None:
    read = [*[fails("validation")] * failures, gives({"kind": "referral", "text": "knee pain"})]
    done = patient(attempts={"read_documents": read})
    assert done.ending == ending
    if ending == "completed":
        assert output(done)["unread_documents"] == 1
        assert output(done, "read_documents")["results"].count(None) == 1
    else:
        assert done.state.error is not None
        assert done.state.error.code == "ITEMS_FAILED"


@pytest.mark.parametrize("failing", ["insurance_check", "eligibility_result"])
def test_costs_are_talked_about_when_the_payer_does_not_answer(failing: str) -> None:
    counselled = {"financial_counselling": [say("approve", "bill", data={"plan": "instalments"})]}
    done = patient(attempts={failing: [fails("network")]}, votes=counselled)
    assert (done.ending, output(done)["covered"], output(done)["outcome"]) == ("completed", False, "onboarded")
    assert step_of("jumped", done) == [failing]
    assert statuses(done)["coverage"] == "skipped"
    assert statuses(done)["financial_counselling"] == "completed"


def test_polling_ends_when_the_payer_never_decides() -> None:
    never = {"eligibility_result": [gives({"status": "pending", "copay": 0.0})]}
    counselled = {"financial_counselling": [say("approve", "bill", data={"plan": "self_pay"})]}
    done = patient(attempts=never, votes=counselled)
    assert max(visit for key, visit in done.visits if key == "eligibility_result") == 15
    assert output(done)["outcome"] == "onboarded"


def test_consent_is_asked_for_in_person_when_the_portal_stays_silent() -> None:
    signed = {"consent_in_person": [say("approve", "fred", data={"signed_on": "2026-03-05"})]}
    done = patient(attempts={"await_consent": []}, votes=signed)
    assert output(done, "await_consent")["timed_out"] is True
    assert output(done)["outcome"] == "onboarded"


@pytest.mark.parametrize("is_refused_in_portal", [True, False])
def test_nothing_is_kept_when_consent_is_refused(is_refused_in_portal: bool) -> None:
    refusal = [gives({"signal": "consent_refused"})] if is_refused_in_portal else []
    done = patient(attempts={"await_consent": refusal, "erase_record": [gives({"erased": True})]})
    assert (output(done)["outcome"], output(done)["appointment"]) == ("consent_refused", None)
    assert statuses(done)["erase_record"] == "completed"
    assert {statuses(done)[key] for key in ("triage", "physician_review", "book_appointment")} == {"skipped"}


def test_the_patient_goes_back_to_triage_when_the_physician_asks() -> None:
    again = [say("approve", "nora", data=TRIAGE), say("approve", "nils", data={**TRIAGE, "urgency": "urgent"})]
    asks = [say("request_changes", "paul"), say("approve", "nils", data={}), say("approve", "paul", data={})]
    done = patient(votes={"triage": again, "physician_review": asks})
    assert output(done)["outcome"] == "onboarded"
    assert output(done, "triage")["urgency"] == "urgent"
    assert [each.verdict.code for each in done.decisions if each.verdict and each.verdict.code] == ["SELF_APPROVAL"]
    assert [visit for key, visit in done.visits if key == "physician_review"] == [1, 2]


def test_the_director_may_decide_when_no_physician_does_in_time() -> None:
    late = [say("approve", "dora", roles=("medical_director",), data={}, after=timedelta(minutes=3000))]
    done = patient(votes={"physician_review": late})
    assert output(done)["outcome"] == "onboarded"
    assert step_of("task_escalated", done) == ["physician_review"]


def test_nothing_is_booked_when_no_site_has_a_slot() -> None:
    done = patient(attempts={"slot_north": [fails("not_found")], "slot_south": [fails("not_found")]})
    assert (done.ending, output(done)["outcome"]) == ("completed", "not_booked")
    assert "needs 1 completed" in (done.state.steps["first_slot"].reason or "")


# -- the permit ------------------------------------------------------------------------------------------------------

PLANS = {"drawings": 4, "setback_m": 3.5, "height_m": 8.5}
MEMBERS = ("mara", "milo", "mina", "mats", "moni")


def permit(changes: dict[str, Any] | None = None, **given: Any) -> Simulated:
    until = {"objections_until": "2026-04-13T22:00:00Z"}
    attempts = {
        "create_invoice": [gives({"invoice_id": "I-000001"})],
        "await_fee": [gives({"signal": "fee_paid", "payload": {"paid": 446.75}}, duration=timedelta(days=9))],
        "issue_permit": [gives({"permit_number": "2026/BP/0042"})],
        **given.get("attempts", {}),
    }
    opinion = {"recommendation": "grant", "conditions": ["Two smoke detectors on each floor"]}
    votes = {
        "receive_plans": [say("approve", "clara", data=PLANS)],
        "department_statements": [say("approve", "otto", data={"statement": "no_objection"})] * 3,
        "boundary_survey": [say("approve", "sven", data={"measured_setback_m": 3.4})],
        "site_inspection": [say("approve", "ivan", data={"is_suitable": True})],
        "return_site_key": [say("approve", "ivan", data={})],
        "caseworker_opinion": [say("approve", "wanda", data=opinion)],
        "building_committee": [say("approve", name, data={}) for name in MEMBERS[:3]],
        **given.get("votes", {}),
    }
    return tried("building-permit", {**until, **(changes or {})}, attempts, votes)


def test_a_permit_is_issued_when_everybody_agrees_and_the_fee_is_paid() -> None:
    done = permit()
    assert output(done) == {
        "application_id": "BP-2025-00317",
        "outcome": "granted",
        "permit_number": "2026/BP/0042",
        "conditions": ["Two smoke detectors on each floor"],
    }
    assert output(done, "department_statements")["count"] == 3, "heritage is heard in a listed area"
    assert output(done, "notify_neighbours")["completed"] == 3
    assert output(done, "permit_decision")["fee"] == 446.75
    assert statuses(done)["cancel_invoice"] == "skipped"
    assert done.ended_at.isoformat() > "2026-04-22", "the objections and the fee were waited for"


def test_the_inspector_waits_for_the_key_when_the_surveyor_has_it() -> None:
    done = permit()
    survey, inspection = done.state.steps["boundary_survey"], done.state.steps["site_inspection"]
    assert survey.completed_at is not None
    assert inspection.started_at is not None
    assert inspection.started_at >= survey.completed_at


def test_plans_are_corrected_when_they_do_not_keep_the_code() -> None:
    plans = [say("approve", "clara", data={**PLANS, "setback_m": 2.0}), say("approve", "clara", data=PLANS)]
    done = permit(votes={"receive_plans": plans})
    assert output(done)["outcome"] == "granted"
    assert [visit for key, visit in done.visits if key == "plan_check"] == [1, 2]
    assert statuses(done)["concerned_departments"] == "completed"


def test_a_permit_is_refused_when_the_plans_never_keep_the_code() -> None:
    bad = [say("approve", "clara", data={**PLANS, "height_m": 20})] * 3
    done = permit(votes={"receive_plans": bad})
    assert (output(done)["outcome"], done.state.steps["plan_check"].visit) == ("refused", 3)
    assert statuses(done)["building_committee"] == "skipped"


def test_a_permit_is_refused_when_the_committee_cannot_agree() -> None:
    votes = [say("approve", MEMBERS[0], data={}), *(say("reject", name) for name in MEMBERS[1:4])]
    done = permit(votes={"building_committee": votes})
    assert output(done)["outcome"] == "refused"
    assert output(done, "building_committee")["decision"] == "rejected"


def test_the_opinion_is_written_again_when_a_member_asks_for_changes() -> None:
    votes = {
        "caseworker_opinion": [say("approve", "wanda", data={"recommendation": "grant"})] * 2,
        "building_committee": [
            say("request_changes", "mara", comment="which conditions?"),
            *(say("approve", name, data={}) for name in MEMBERS[:3]),
        ],
    }
    done = permit(votes=votes)
    assert output(done)["outcome"] == "granted"
    assert [visit for key, visit in done.visits if key == "building_committee"] == [1, 2]


def test_silence_counts_as_no_objection_when_a_department_says_nothing() -> None:
    done = permit(votes={"department_statements": [say("approve", "otto", data={"statement": "no_objection"})]})
    assert output(done)["outcome"] == "granted"
    results = output(done, "department_statements")["results"]
    assert sorted(len(each["approvals"]) for each in results) == [0, 0, 1]


@pytest.mark.parametrize(
    ("signals", "outcome"), [([], "fee_not_paid"), ([gives({"signal": "application_withdrawn"})], "withdrawn")]
)
def test_the_invoice_is_cancelled_when_nobody_pays(signals: list[Any], outcome: str) -> None:
    done = permit(attempts={"await_fee": signals, "cancel_invoice": [gives({"cancelled": True})]})
    assert (output(done)["outcome"], statuses(done)["cancel_invoice"]) == (outcome, "completed")


def test_a_clerk_is_waited_for_when_the_register_refuses() -> None:
    done = permit(attempts={"issue_permit": [fails("permission")]})
    assert done.ending == "waiting"
    assert [each.step for each in done.waiting] == ["issue_permit"]


# -- the bill --------------------------------------------------------------------------------------------------------


def bill(changes: dict[str, Any] | None = None, **given: Any) -> Simulated:
    attempts = {
        "post_bill": [gives({"posting_id": "B-000001"})],
        "pay_bill": [gives({"reference": "TR-1"})],
        **given.get("attempts", {}),
    }
    votes = {"manager_approval": [say("approve", "marc", data={})], **given.get("votes", {})}
    due = {"due_at": "2026-03-20T08:00:00Z"}
    return tried("bill-approval", {**due, **(changes or {})}, attempts, votes)


def lines(*quantities: float) -> dict[str, Any]:
    """Bill lines of which each was received ten times."""
    first = example("bill-approval")[1]["lines"][0]
    return {"lines": [{**first, "billed_quantity": each, "received_quantity": 10} for each in quantities]}


def test_a_bill_is_paid_when_it_is_due_and_everything_matches() -> None:
    done = bill()
    assert output(done) == {"bill_number": "RE-2025-1187", "outcome": "paid", "posting_id": "B-000001"}
    assert statuses(done)["buyer_clarification"] == statuses(done)["board_approval"] == "skipped"
    paid = done.state.steps["pay_bill"]
    assert paid.started_at is not None
    assert paid.started_at.isoformat() == "2026-03-20T08:00:00+00:00"


def test_the_buyer_is_asked_when_the_first_line_does_not_match() -> None:
    answers = {"buyer_clarification": [say("approve", "bea", data={"explanation": "a part delivery follows"})]}
    done = bill(lines(10, 12, *[10] * 40), votes=answers)
    assert output(done)["outcome"] == "paid"
    matched = output(done, "match_lines")
    assert matched["completed"] < matched["count"] == 42, "nobody went on after the line that does not match"
    assert [each["passed"] for each in matched["results"][:2]] == [True, False]


def test_a_bill_is_rejected_when_the_buyer_does_not_accept_it() -> None:
    done = bill(lines(12), votes={"buyer_clarification": [say("reject", "bea")]})
    assert (output(done)["outcome"], output(done)["posting_id"]) == ("rejected", None)


def test_the_board_votes_when_the_amount_is_large() -> None:
    board = [say("approve", "marc", data={}), say("approve", "bo", data={}), say("approve", "bix", data={})]
    done = bill({"total": 30000.0}, votes={"board_approval": board})
    assert output(done)["outcome"] == "paid"
    assert [each.verdict.code for each in done.decisions if each.verdict and each.verdict.code] == ["SELF_APPROVAL"]


def test_the_posting_is_reversed_when_the_payment_fails_for_good() -> None:
    done = bill(attempts={"pay_bill": [fails("validation")], "post_bill!undo": [gives({})]})
    assert done.ending == "failed"
    assert statuses(done)["post_bill!undo"] == "completed"
    assert kinds(done)[-2:] == ["step_completed", "run_failed"]

"""A loan, from the application to the payout: the usual path and its exceptions."""

from __future__ import annotations

from typing import Any

import pytest

from playbooks.simulation.given import GivenVote
from playbooks.simulation.outcome import Simulated
from tests.playbooks.playing_examples import accepted, output, step_of, tried, vote
from tests.playbooks.simulating import fails, gives, statuses
from tests.support.plans import INITIATOR

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
        "underwriter_decision": [vote("approve", "umar", data=GRANT)],
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
    done = loan(attempts=away, votes={"manual_credit_check": [vote("approve", "ana", data=form)]})
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
    asks = [vote("request_changes", "umar", comment="a payslip is missing"), vote("approve", "umar", data=GRANT)]
    done = loan(votes={"underwriter_decision": asks, "collect_documents": [COLLECTED] * 2})
    assert output(done)["outcome"] == "paid_out"
    assert [visit for key, visit in done.visits if key == "collect_documents"] == [1, 2]
    assert step_of("went_back", done) == ["underwriter_decision"]
    assert done.visits["underwriter_decision", 1].step.status == "completed"


def test_the_run_fails_when_changes_are_asked_for_more_often_than_is_allowed() -> None:
    asks = [vote("request_changes", "umar", comment=str(number)) for number in range(4)]
    done = loan(votes={"underwriter_decision": asks, "collect_documents": [COLLECTED] * 4})
    assert done.state.error is not None
    assert (done.ending, done.state.error.code) == ("failed", "LOOP_LIMIT")


def test_the_committee_votes_when_the_loan_is_large() -> None:
    large = {"approved_amount": 90000, "annual_rate": 5.9}
    votes = {
        "underwriter_decision": [vote("approve", "umar", data=large)],
        "credit_committee": [
            vote("approve", "umar", data={}),
            vote("approve", str(INITIATOR.id), data={}),
            vote("reject", "cora"),
            vote("approve", "carl", data={}),
            vote("approve", "cleo", data={}),
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
        attempts={"credit_assessment": [unsure]}, votes={"credit_assessment": [vote("approve", "ana", data=right)]}
    )
    assert output(done)["outcome"] == "paid_out"
    assert output(done, "credit_assessment") == right


def test_the_run_is_paused_when_the_budget_does_not_allow_the_next_step() -> None:
    large = {"approved_amount": 90000, "annual_rate": 5.9}
    asks = [*[vote("request_changes", "umar")] * 3, vote("approve", "umar", data=large)]
    votes = {"underwriter_decision": asks, "collect_documents": [COLLECTED] * 4}
    done = loan({"amount": 90000, "purpose": "home_improvement", "monthly_income": 9000}, votes=votes)
    assert (done.ending, done.waiting[0].kind) == ("paused", "resume")
    assert statuses(done)["credit_committee"] == "in_progress"

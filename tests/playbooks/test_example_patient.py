"""A patient's onboarding: the usual path and its exceptions."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from playbooks.simulation.outcome import Simulated
from tests.playbooks.playing_examples import output, step_of, tried, vote
from tests.playbooks.simulating import fails, gives, statuses

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
        "triage": [vote("approve", "nora", data=TRIAGE)],
        "physician_review": [vote("approve", "paul", data={})],
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
    assert [event.data["holds"] for event in done.events if event.kind == "repeat_evaluated"] == [True, False]


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
    counselled = {"financial_counselling": [vote("approve", "bill", data={"plan": "instalments"})]}
    done = patient(attempts={failing: [fails("network")]}, votes=counselled)
    assert (done.ending, output(done)["covered"], output(done)["outcome"]) == ("completed", False, "onboarded")
    assert step_of("jumped", done) == [failing]
    assert statuses(done)["coverage"] == "skipped"
    assert statuses(done)["financial_counselling"] == "completed"


def test_polling_ends_when_the_payer_never_decides() -> None:
    never = {"eligibility_result": [gives({"status": "pending", "copay": 0.0})]}
    counselled = {"financial_counselling": [vote("approve", "bill", data={"plan": "self_pay"})]}
    done = patient(attempts=never, votes=counselled)
    assert max(visit for key, visit in done.visits if key == "eligibility_result") == 15
    assert output(done)["outcome"] == "onboarded"


def test_consent_is_asked_for_in_person_when_the_portal_stays_silent() -> None:
    signed = {"consent_in_person": [vote("approve", "fred", data={"signed_on": "2026-03-05"})]}
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
    again = [vote("approve", "nora", data=TRIAGE), vote("approve", "nils", data={**TRIAGE, "urgency": "urgent"})]
    asks = [vote("request_changes", "paul"), vote("approve", "nils", data={}), vote("approve", "paul", data={})]
    done = patient(votes={"triage": again, "physician_review": asks})
    assert output(done)["outcome"] == "onboarded"
    assert output(done, "triage")["urgency"] == "urgent"
    assert [each.verdict.code for each in done.decisions if each.verdict and each.verdict.code] == ["SELF_APPROVAL"]
    assert [visit for key, visit in done.visits if key == "physician_review"] == [1, 2]


def test_the_director_may_decide_when_no_physician_does_in_time() -> None:
    late = [vote("approve", "dora", roles=("medical_director",), data={}, after=timedelta(minutes=3000))]
    done = patient(votes={"physician_review": late})
    assert output(done)["outcome"] == "onboarded"
    assert step_of("task_escalated", done) == ["physician_review"]


def test_nothing_is_booked_when_no_site_has_a_slot() -> None:
    done = patient(attempts={"slot_north": [fails("not_found")], "slot_south": [fails("not_found")]})
    assert (done.ending, output(done)["outcome"]) == ("completed", "not_booked")
    assert "needs 1 completed" in (done.state.steps["first_slot"].reason or "")

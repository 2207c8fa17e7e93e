"""A building permit: the usual path and its exceptions."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from playbooks.simulation.outcome import Simulated
from tests.playbooks.playing_examples import output, tried, vote
from tests.playbooks.simulating import fails, gives, statuses

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
        "receive_plans": [vote("approve", "clara", data=PLANS)],
        "department_statements": [vote("approve", "otto", data={"statement": "no_objection"})] * 3,
        "boundary_survey": [vote("approve", "sven", data={"measured_setback_m": 3.4})],
        "site_inspection": [vote("approve", "ivan", data={"is_suitable": True})],
        "return_site_key": [vote("approve", "ivan", data={})],
        "caseworker_opinion": [vote("approve", "wanda", data=opinion)],
        "building_committee": [vote("approve", name, data={}) for name in MEMBERS[:3]],
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
    plans = [vote("approve", "clara", data={**PLANS, "setback_m": 2.0}), vote("approve", "clara", data=PLANS)]
    done = permit(votes={"receive_plans": plans})
    assert output(done)["outcome"] == "granted"
    assert [visit for key, visit in done.visits if key == "plan_check"] == [1, 2]
    assert statuses(done)["concerned_departments"] == "completed"


def test_a_permit_is_refused_when_the_plans_never_keep_the_code() -> None:
    bad = [vote("approve", "clara", data={**PLANS, "height_m": 20})] * 3
    done = permit(votes={"receive_plans": bad})
    assert (output(done)["outcome"], done.state.steps["plan_check"].visit) == ("refused", 3)
    assert statuses(done)["building_committee"] == "skipped"


def test_a_permit_is_refused_when_the_committee_cannot_agree() -> None:
    votes = [vote("approve", MEMBERS[0], data={}), *(vote("reject", name) for name in MEMBERS[1:4])]
    done = permit(votes={"building_committee": votes})
    assert output(done)["outcome"] == "refused"
    assert output(done, "building_committee")["decision"] == "rejected"


def test_the_opinion_is_written_again_when_a_member_asks_for_changes() -> None:
    votes = {
        "caseworker_opinion": [vote("approve", "wanda", data={"recommendation": "grant"})] * 2,
        "building_committee": [
            vote("request_changes", "mara", comment="which conditions?"),
            *(vote("approve", name, data={}) for name in MEMBERS[:3]),
        ],
    }
    done = permit(votes=votes)
    assert output(done)["outcome"] == "granted"
    assert [visit for key, visit in done.visits if key == "building_committee"] == [1, 2]


def test_a_silent_department_has_no_objection() -> None:
    done = permit(votes={"department_statements": [vote("approve", "otto", data={"statement": "no_objection"})]})
    assert output(done)["outcome"] == "granted"
    results = output(done, "department_statements")["results"]
    assert sorted(len(each["approvals"]) for each in results) == [0, 0, 1]


@pytest.mark.parametrize(
    ("signals", "outcome"), [([], "fee_not_paid"), ([gives({"signal": "application_withdrawn"})], "withdrawn")]
)
def test_the_invoice_is_cancelled_when_it_is_not_paid(signals: list[Any], outcome: str) -> None:
    done = permit(attempts={"await_fee": signals, "cancel_invoice": [gives({"cancelled": True})]})
    assert (output(done)["outcome"], statuses(done)["cancel_invoice"]) == (outcome, "completed")


def test_a_clerk_is_waited_for_when_the_register_refuses() -> None:
    done = permit(attempts={"issue_permit": [fails("permission")]})
    assert done.ending == "waiting"
    assert [each.step for each in done.waiting] == ["issue_permit"]

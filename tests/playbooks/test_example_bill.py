"""A supplier's bill, and that every example can be published as it stands."""

from __future__ import annotations

from typing import Any

import pytest

from playbooks.simulation.outcome import Simulated
from tests.playbooks.building import compiled
from tests.playbooks.playing_examples import NAMES, example, output, tried, vote
from tests.playbooks.simulating import fails, gives, statuses


@pytest.mark.parametrize("name", NAMES)
def test_every_example_compiles_without_a_warning(name: str) -> None:
    assert compiled(example(name)[0]).problems == ()


def bill(changes: dict[str, Any] | None = None, **given: Any) -> Simulated:
    attempts = {
        "post_bill": [gives({"posting_id": "B-000001"})],
        "pay_bill": [gives({"reference": "TR-1"})],
        **given.get("attempts", {}),
    }
    votes = {"manager_approval": [vote("approve", "marc", data={})], **given.get("votes", {})}
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
    answers = {"buyer_clarification": [vote("approve", "bea", data={"explanation": "a part delivery follows"})]}
    done = bill(lines(10, 12, *[10] * 40), votes=answers)
    assert output(done)["outcome"] == "paid"
    matched = output(done, "match_lines")
    assert matched["completed"] < matched["count"] == 42, "no item was begun after the line that does not match"
    assert [each["passed"] for each in matched["results"][:2]] == [True, False]


def test_a_bill_is_rejected_when_the_buyer_does_not_accept_it() -> None:
    done = bill(lines(12), votes={"buyer_clarification": [vote("reject", "bea")]})
    assert (output(done)["outcome"], output(done)["posting_id"]) == ("rejected", None)


def test_the_board_votes_when_the_amount_is_large() -> None:
    board = [vote("approve", "marc", data={}), vote("approve", "bo", data={}), vote("approve", "bix", data={})]
    done = bill({"total": 30000.0}, votes={"board_approval": board})
    assert output(done)["outcome"] == "paid"
    assert [each.verdict.code for each in done.decisions if each.verdict and each.verdict.code] == ["SELF_APPROVAL"]


def test_the_posting_is_reversed_when_the_payment_fails_for_good() -> None:
    done = bill(attempts={"pay_bill": [fails("validation")], "post_bill!undo": [gives({})]})
    assert done.ending == "failed"
    assert statuses(done)["post_bill!undo"] == "completed"
    assert [event.kind for event in done.events][-2:] == ["step_completed", "run_failed"]

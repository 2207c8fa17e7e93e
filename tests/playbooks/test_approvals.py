"""Decisions from people's votes, eligibility of voters, and the clocks of a task."""

from __future__ import annotations

from typing import Any

import pytest

from playbooks.common.values import Actor
from playbooks.engine.model.commands import Notify, OpenTask
from playbooks.engine.model.plan import ApprovalPlan, Plan
from playbooks.engine.model.state import Vote
from playbooks.engine.model.temporal_messages import OutcomeOfCheck
from playbooks.engine.rules.approvals import decision_of, task_output
from tests.support.driver import Drive
from tests.support.plans import EXECUTION, INITIATOR, human, person, plan_of, step
from tests.support.random_plans import START

ANNA, BEN, CORA = (person(name, "approver") for name in ("anna", "ben", "cora"))
DAN = person("dan", "clerk")
INES = Actor(id=INITIATOR.id, name="Ines", roles=("approver",))
CHOICES: dict[str, Any] = {"a": "approve", "r": "reject", "-": "abstain", "c": "request_changes"}


def plan_with(**approval: Any) -> Plan:
    return plan_of(human("h", 1, approval=ApprovalPlan(**approval)))


def opened(plan: Plan, **fields: Any) -> Drive:
    """A run whose task `h` is open."""
    drive = Drive(plan, **fields).begin()
    drive.prepare("h", input={"amount": 5})
    assert OpenTask(step="h", visit=1) in drive.last
    return drive


def votes(text: str) -> list[Vote]:
    return [
        Vote(actor=person(f"voter{position}"), choice=CHOICES[letter], at=START) for position, letter in enumerate(text)
    ]


# --- arithmetic


@pytest.mark.parametrize(
    ("threshold", "max_voters", "consensus", "cast", "decision"),
    [
        (1, 1, 0.0, "", None),
        (1, 1, 0.0, "a", "approved"),
        (1, 1, 0.0, "r", "rejected"),
        (1, 1, 0.0, "-", "no_quorum"),
        (1, 1, 0.0, "c", "changes_requested"),
        (2, 3, 0.0, "a", None),
        (2, 3, 0.0, "aa", "approved"),
        (2, 3, 0.0, "ar", None),
        (2, 3, 0.0, "rr", "rejected"),
        (2, 3, 0.0, "-", None),
        (2, 3, 0.0, "--", "no_quorum"),
        (2, 3, 0.0, "-r", "rejected"),
        (2, 3, 0.0, "aac", "changes_requested"),
        (2, 3, 1.0, "ar", "rejected"),
        (2, 3, 1.0, "aa", "approved"),
        (3, 5, 0.6, "aar", None),
        (3, 5, 0.6, "aara", "approved"),
        (3, 5, 0.6, "rra", None),
        (3, 5, 0.6, "rraa", None),
        (3, 5, 0.6, "rraaa", "approved"),
        (3, 5, 0.6, "rrr", "rejected"),
        (3, 5, 0.67, "aaarr", "rejected"),
        (3, 5, 0.67, "aarr", "rejected"),
        (3, 5, 0.67, "aar", None),
        (3, 4, 0.75, "aara", "approved"),
        (3, 4, 0.0, "a--", "no_quorum"),
        (2, 2, 0.1, "ar", "rejected"),
    ],
)
def test_decides_as_soon_as_it_is_certain_when_votes_come(
    threshold: int, max_voters: int, consensus: float, cast: str, decision: str | None
) -> None:
    rules = ApprovalPlan(threshold=threshold, max_voters=max_voters, consensus=consensus)
    assert decision_of(rules, votes(cast)) == decision


@pytest.mark.parametrize("cast", ["aar", "ara", "raa"])
def test_decides_the_same_when_votes_come_in_another_order(cast: str) -> None:
    assert decision_of(ApprovalPlan(threshold=2, max_voters=3, consensus=0.5), votes(cast)) == "approved"


def test_makes_the_output_from_approving_forms_when_a_task_closes() -> None:
    forms: list[Any] = [{"score": 80, "note": "x", "ok": True}, {"score": 71, "bonus": 2.5}, {"score": 0}]
    cast = [
        Vote(actor=who, choice=choice, at=START, data=form, comment=None)
        for who, choice, form in zip((ANNA, BEN, CORA), ("approve", "approve", "reject"), forms, strict=True)
    ]
    output = task_output("approved", cast)
    assert {name: output[name] for name in ("decision", "data", "mean", "score", "bonus", "counts")} == {
        "decision": "approved",
        "data": {"score": 71, "bonus": 2.5},
        "mean": {"score": 75.5, "bonus": 2.5},
        "score": 71,
        "bonus": 2.5,
        "counts": {"approve": 2, "reject": 1, "abstain": 0, "request_changes": 0},
    }
    approvals: Any = output["approvals"]
    assert [(vote["actor"]["name"], vote["decision"], vote["at"]) for vote in approvals] == [
        ("anna", "approve", START.isoformat()),
        ("ben", "approve", START.isoformat()),
        ("cora", "reject", START.isoformat()),
    ]


@pytest.mark.parametrize("numbers", [(10**400,), (10**400, 0.5), (1e308, 1e308), (float("nan"),), (float("inf"), 1)])
def test_leaves_a_mean_out_when_no_json_number_can_express_it(numbers: tuple[Any, ...]) -> None:
    cast = [Vote(actor=ANNA, choice="approve", at=START, data={"n": number, "m": 1}) for number in numbers]
    assert task_output("approved", cast)["mean"] == {"m": 1.0}


# --- who may


def test_completes_with_the_vote_when_one_person_approves() -> None:
    drive = opened(plan_with())
    verdict = drive.decide("h", ANNA, data={"award": 5}, comment="fine", attachments=["doc-1"])
    assert (verdict.outcome, verdict.data) == (
        "accepted",
        {
            "task_id": str(drive.task("h").id),
            "state": "closed",
            "decision": "approved",
            "approvals_required": 1,
            "approvals_received": 1,
            "claimed_by": None,
        },
    )
    output: Any = drive.step("h").output
    assert (output["award"], output["decision"], output["approvals"][0]["attachments"]) == (5, "approved", ["doc-1"])
    assert drive.kinds[-3:] == ["decision_made", "task_closed", "step_completed"]


@pytest.mark.parametrize(
    ("approval", "who", "code"),
    [
        ({}, DAN, "NOT_ELIGIBLE"),
        ({"self_approval": False}, INES, "SELF_APPROVAL"),
        ({"self_approval": True}, INES, None),
        ({}, ANNA, None),
    ],
)
def test_refuses_and_changes_nothing_when_a_person_may_not_decide(approval: Any, who: Actor, code: str | None) -> None:
    drive = opened(plan_with(**approval))
    before = drive.step("h")
    verdict = drive.decide("h", who)
    assert verdict.code == code
    if code is not None:
        assert drive.step("h") == before
        refused = drive.events[-1]
        assert (refused.kind, refused.actor, refused.step) == ("decision_refused", who, "h")
        assert refused.data == {"verb": "decide", "code": code}


def test_refuses_a_second_vote_when_the_person_has_voted() -> None:
    drive = opened(plan_with(threshold=2, max_voters=3))
    assert drive.decide("h", ANNA).outcome == "accepted"
    assert drive.decide("h", ANNA, "reject").code == "ALREADY_DECIDED"
    task = drive.task("h")
    assert [vote.choice for vote in task.votes] == ["approve"]
    assert drive.statuses == {"h": "waiting"}
    drive.decide("h", BEN)
    assert drive.statuses == {"h": "completed"}


def test_refuses_a_vote_when_the_person_decided_a_step_that_must_differ() -> None:
    rules = ApprovalPlan(different_from=("register",))
    plan = plan_of(human("register", 1), human("h", 2, after=("register",), approval=rules))
    drive = Drive(plan).begin()
    drive.prepare("register")
    drive.decide("register", ANNA)
    drive.prepare("h")
    assert drive.decide("h", ANNA).code == "SELF_APPROVAL"
    assert drive.decide("h", BEN).outcome == "accepted"


def test_refuses_the_form_when_it_breaks_its_contract_and_the_run_goes_on() -> None:
    drive = opened(plan_with())
    wrong = OutcomeOfCheck(
        actor=ANNA, code="CONTRACT_VALIDATION_FAILED", detail="score is too high", errors=({"pointer": "/data/score"},)
    )
    verdict = drive.send("decide", ANNA, check=wrong, step="h", decision="approve", data={"score": 101})
    assert (verdict.code, verdict.detail, verdict.errors) == (
        "CONTRACT_VALIDATION_FAILED",
        "score is too high",
        ({"pointer": "/data/score"},),
    )
    assert drive.statuses == {"h": "waiting"}
    assert drive.decide("h", ANNA, data={"score": 99}).outcome == "accepted"


@pytest.mark.parametrize("code", ["UNAUTHORIZED", "NOT_ELIGIBLE"])
def test_refuses_a_message_when_its_sender_is_unknown(code: str) -> None:
    drive = opened(plan_with())
    verdict = drive.send("decide", None, check=OutcomeOfCheck(code=code), step="h", decision="approve")
    assert verdict.code == code
    assert drive.statuses == {"h": "waiting"}


def test_refuses_a_vote_when_the_task_is_closed() -> None:
    drive = opened(plan_of(human("h", 1), step("next", 2, after=("h",))))
    drive.decide("h", ANNA)
    before = drive.step("h")
    assert drive.decide("h", BEN, "reject").code == "TASK_CLOSED"
    assert drive.step("h") == before


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ({"step": "nowhere"}, "NOT_FOUND"),
        ({"task_id": str(EXECUTION)}, "NOT_FOUND"),
        ({"step": "machine"}, "INVALID_STEP_STATE"),
    ],
)
def test_refuses_a_vote_when_there_is_no_such_task(target: Any, code: str) -> None:
    drive = opened(plan_of(human("h", 1), step("machine", 2)))
    assert drive.send("decide", ANNA, decision="approve", **target).code == code


def test_finds_the_task_when_it_is_named_by_its_id() -> None:
    drive = opened(plan_with())
    task = drive.task("h")
    assert drive.send("decide", ANNA, decision="approve", task_id=str(task.id)).outcome == "accepted"


@pytest.mark.parametrize(
    ("on_reject", "run", "step_status"), [("continue", "in_progress", "completed"), ("fail", "failed", "failed")]
)
def test_takes_the_authors_choice_when_a_step_is_rejected(on_reject: Any, run: str, step_status: str) -> None:
    drive = opened(plan_with(on_reject=on_reject))
    drive.decide("h", ANNA, "reject")
    assert (drive.state.status, drive.statuses) == (run, {"h": step_status})
    if on_reject == "fail":
        assert drive.state.error is not None
        assert (drive.state.error.kind, drive.state.error.code) == ("business_rule", "REJECTED")
    else:
        output: Any = drive.step("h").output
        assert output["decision"] == "rejected"


# --- claims


def test_reserves_the_decision_when_a_single_approver_claimed() -> None:
    drive = opened(plan_with())
    claimed = drive.send("claim", ANNA, step="h").data
    assert claimed is not None
    assert claimed["claimed_by"] == str(ANNA.id)
    assert drive.send("claim", BEN, step="h").code == "NOT_ELIGIBLE"
    assert drive.decide("h", BEN).code == "NOT_ELIGIBLE"
    assert drive.send("release", BEN, step="h").code == "NOT_ELIGIBLE"
    assert drive.send("release", ANNA, step="h").outcome == "accepted"
    assert drive.decide("h", BEN).outcome == "accepted"


def test_changes_nothing_when_a_claim_is_repeated() -> None:
    drive = opened(plan_with())
    drive.send("claim", ANNA, step="h")
    before = drive.state
    assert drive.send("claim", ANNA, step="h").outcome == "accepted"
    assert drive.state == before


def test_lets_everybody_decide_when_a_claim_is_one_of_several() -> None:
    drive = opened(plan_with(threshold=2, max_voters=2))
    drive.send("claim", ANNA, step="h")
    assert drive.send("claim", BEN, step="h").outcome == "accepted"
    task = drive.task("h")
    assert (task.claimant, task.claims) == (ANNA, (ANNA.id, BEN.id))
    assert drive.decide("h", CORA).outcome == "accepted"


def test_frees_the_task_when_its_claimant_has_abstained() -> None:
    drive = opened(plan_with(threshold=1, max_voters=2))
    drive.send("claim", ANNA, step="h")
    drive.decide("h", ANNA, "abstain")
    assert drive.decide("h", BEN).outcome == "accepted"


@pytest.mark.parametrize("verb", ["claim", "release"])
def test_refuses_a_claim_when_the_task_is_not_open(verb: str) -> None:
    drive = Drive(plan_with()).begin()
    assert drive.send(verb, ANNA, step="h").code == "TASK_CLOSED"
    drive.prepare("h")
    drive.decide("h", ANNA)
    assert drive.send(verb, ANNA, step="h").code == "TASK_CLOSED"


# --- early decisions


def test_keeps_a_decision_when_it_comes_before_its_step_waits() -> None:
    drive = Drive(plan_of(step("a", 1), human("h", 2, after=("a",)))).begin()
    assert drive.decide("h", ANNA, data={"n": 1}).outcome == "kept"
    assert drive.decide("h", ANNA, "reject").code == "ALREADY_DECIDED"
    drive.report("a")
    drive.prepare("h")
    assert drive.statuses == {"a": "completed", "h": "completed"}
    assert drive.kinds.count("decision_made") == 1
    assert drive.state.kept == ()
    assert drive.state.requests == {}


def test_refuses_a_kept_decision_when_its_step_is_skipped() -> None:
    drive = Drive(plan_of(step("a", 1), human("h", 2, after=("a",), has_condition=True))).begin()
    drive.decide("h", ANNA)
    drive.report("a")
    drive.prepare("h", status="skipped", reason="no")
    assert drive.statuses == {"a": "completed", "h": "skipped"}
    assert drive.events[-1].data == {"verb": "decide", "code": "TASK_CLOSED"}


def test_refuses_a_kept_decision_when_the_person_has_since_decided_a_step_that_must_differ() -> None:
    rules = ApprovalPlan(different_from=("register",))
    drive = Drive(plan_of(human("register", 1), human("h", 2, after=("register",), approval=rules))).begin()
    drive.prepare("register")
    assert drive.decide("h", ANNA).outcome == "kept"
    drive.decide("register", ANNA)
    drive.prepare("h")
    assert drive.statuses["h"] == "waiting"
    assert drive.events[-1].data == {"verb": "decide", "code": "SELF_APPROVAL"}


# --- time


@pytest.mark.parametrize(
    ("action", "status", "decision"),
    [
        ("timed_out", "completed", "timed_out"),
        ("approve", "completed", "approved"),
        ("reject", "completed", "rejected"),
        ("fail", "failed", "timed_out"),
    ],
)
def test_takes_the_authors_branch_when_the_window_is_over(action: Any, status: str, decision: str) -> None:
    drive = opened(plan_with(window_minutes=30.0, reminder_minutes=(40.0,), on_timeout=action))
    task = drive.task("h")
    assert task.due_at == drive.state.timers["window:h:1"]
    drive.fire("window:h:1")
    assert drive.statuses == {"h": status}
    task = drive.task("h")
    assert (task.decision, drive.state.timers) == (decision, {})
    if action == "fail":
        assert drive.state.error is not None
        assert drive.state.error.kind == "timeout"


def test_asks_more_people_for_one_more_window_when_it_escalates() -> None:
    rules = {"window_minutes": 30.0, "on_timeout": "escalate", "escalate_to_roles": ("chief", "approver")}
    drive = opened(plan_with(**rules))
    drive.fire("window:h:1")
    task = drive.task("h")
    assert (task.roles, task.escalated) == (("approver", "chief"), True)
    assert (drive.state.timers["window:h:1"] - drive.now).total_seconds() == 1_800
    assert drive.kinds[-1] == "task_escalated"
    chief = person("gus", "chief")
    late = opened(plan_with(**rules))
    late.fire("window:h:1")
    late.fire("window:h:1")
    assert late.task("h").decision == "timed_out"
    assert drive.decide("h", chief).outcome == "accepted"


def test_reminds_while_the_task_is_open_and_not_after() -> None:
    drive = opened(plan_with(window_minutes=60.0, reminder_minutes=(10.0, 20.0)))
    drive.fire("reminder:h:1:0")
    assert drive.last == (Notify(kind="task_reminder", key=f"{EXECUTION}:reminder:h:1:0", step="h"),)
    drive.decide("h", ANNA)
    assert drive.state.timers == {}


def test_never_wipes_an_answer_when_the_window_is_left_over() -> None:
    drive = opened(plan_of(human("h", 1, approval=ApprovalPlan(window_minutes=5.0)), step("b", 2, after=("h",))))
    drive.decide("h", ANNA)
    assert "window:h:1" not in drive.state.timers
    assert drive.statuses == {"h": "completed", "b": "in_progress"}


def test_counts_a_vote_cast_while_paused_when_the_window_closes_during_the_pause() -> None:
    drive = opened(plan_with(window_minutes=5.0, on_timeout="reject"))
    drive.send("pause")
    assert drive.decide("h", ANNA).outcome == "kept"
    drive.fire("window:h:1")
    task = drive.task("h")
    assert task.decision == "approved"
    assert drive.kinds.count("decision_made") == 1

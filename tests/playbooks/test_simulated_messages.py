"""Messages that reach a simulated run from outside: they take effect as in a run, and each gets its answer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from playbooks.engine.model.control_messages import Signal, read_message
from playbooks.simulation.given import Given, GivenMessage, problems_of
from playbooks.simulation.outcome import Simulated
from tests.playbooks.building import human, plan_of, playbook, system
from tests.playbooks.simulating import codes, played, statuses


def sent(verb: str, minutes: float, *roles: str, **body: Any) -> GivenMessage:
    return GivenMessage(message=read_message(verb, [body]), after=timedelta(minutes=minutes), by="anna", roles=roles)


def answers(simulated: Simulated) -> list[tuple[str, str | None]]:
    return [(item.action.verb, item.verdict.code if item.verdict else "unanswered") for item in simulated.messages]


WORK = playbook(human(1, "Work", estimated_duration_minutes=30), human(2, "Notify", estimated_duration_minutes=5))


def test_an_authorized_message_skips_a_step() -> None:
    done = played(WORK, approves=True, messages=(sent("skip_step", 10, "clerk", step="work", reason="no need"),))
    assert answers(done) == [("skip_step", None)]
    assert statuses(done) == {"work": "skipped", "notify": "completed"}
    assert (done.ended_at - done.started_at, done.messages[0].actor.name) == (timedelta(minutes=15), "anna")
    assert codes(done) == []


def test_an_unauthorized_or_late_message_is_refused_as_in_a_run() -> None:
    messages = (
        sent("skip_step", 10, "visitor", step="work"),
        sent("retry_step", 11, "clerk", step="work"),
        sent("fail_step", 32, "clerk", step="work"),
    )
    done = played(WORK, approves=True, messages=messages)
    assert answers(done) == [
        ("skip_step", "NOT_ELIGIBLE"),
        ("retry_step", "INVALID_STEP_STATE"),
        ("fail_step", "INVALID_STEP_STATE"),
    ]
    assert done.ending == "completed"


def test_a_message_cancels_the_run() -> None:
    done = played(WORK, approves=True, messages=(sent("cancel_run", 10, reason="no money"),))
    assert (done.ending, statuses(done)) == ("cancelled", {"work": "cancelled", "notify": "cancelled"})
    assert done.events[-1].actor is not None
    assert done.events[-1].actor.name == "anna"


def test_an_output_is_checked_when_a_step_is_completed_by_hand() -> None:
    contract = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}
    document = playbook(
        system(1, "Make", estimated_duration_minutes=30, output_contract=contract, config={"output": {"n": 1}})
    )
    messages = (
        sent("complete_step", 5, step="make", output={"n": "x"}),
        sent("complete_step", 6, step="make", output={"n": 7}),
    )
    done = played(document, messages=messages)
    assert answers(done) == [("complete_step", "CONTRACT_VALIDATION_FAILED"), ("complete_step", None)]
    assert done.state.output == {"make": {"n": 7}}


def test_a_signal_is_kept_when_it_comes_before_its_step_waits() -> None:
    wait = system(2, "Wait", worker_type="signal_wait", config={"signals": ["go"]})
    document = playbook(human(1, "Work", estimated_duration_minutes=30), wait)
    done = played(document, approves=True, messages=(sent("signal", 5, name="go", payload=4),))
    assert (done.ending, done.ended_at - done.started_at) == ("completed", timedelta(minutes=30))
    assert done.messages[0].verdict is not None
    assert done.messages[0].verdict.data == {"delivered_to": [], "kept": True}


def test_a_signal_is_refused_when_the_contract_of_its_step_does_not_allow_it() -> None:
    contract = {"properties": {"payload": {"type": "object", "required": ["n"]}}}
    wait = system(1, "Wait", worker_type="signal_wait", config={"signals": ["go"]}, output_contract=contract)
    messages = (sent("signal", 1, name="go", payload=4), sent("signal", 2, name="go", payload={"n": 1}))
    done = played(playbook(wait), messages=messages)
    assert answers(done) == [("signal", "CONTRACT_VALIDATION_FAILED"), ("signal", None)]
    assert done.messages[0].verdict is not None
    assert done.messages[0].verdict.errors[0]["pointer"] == "/payload"
    assert done.ending == "completed"


def test_a_message_after_the_end_is_reported() -> None:
    messages = (sent("signal", 90, name="b"), sent("signal", 5, name="a"))
    done = played(WORK, approves=True, messages=messages)
    assert [item.action for item in done.messages] == [Signal(name="a")]
    assert codes(done) == [("NOT_USED", "/simulation/messages/0")]


def test_an_invalid_message_is_refused_with_its_pointer() -> None:
    messages = (
        sent("pause", 1),
        sent("decide", 1, step="work", decision="approve"),
        sent("skip_step", 1),
        sent("skip_step", 1, step="wrk"),
        sent("signal", 1, name="x", colour="red"),
        sent("skip_step", 1, step="work[0]"),
    )
    assert [(item.pointer, item.code) for item in problems_of(Given(messages=messages), plan_of(WORK))] == [
        ("/simulation/messages/0/verb", "NOT_ALLOWED"),
        ("/simulation/messages/1/verb", "NOT_ALLOWED"),
        ("/simulation/messages/2/body", "VALIDATION_ERROR"),
        ("/simulation/messages/3/body/step", "UNKNOWN_STEP"),
        ("/simulation/messages/4/body", "VALIDATION_ERROR"),
    ]


def test_it_stops_when_its_clock_begins_where_no_message_can_come_any_more() -> None:
    done = played(WORK, messages=(sent("cancel_run", 60 * 24 * 366),), at=datetime(9999, 6, 1, tzinfo=UTC))
    assert (done.ending, done.messages) == ("stopped", ())
    assert codes(done) == [("SIMULATION_LIMIT", ""), ("NOT_USED", "/simulation/messages/0")]

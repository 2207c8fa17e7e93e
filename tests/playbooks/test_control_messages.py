"""Whatever a message looks like, reading it answers a message or what is wrong, and never raises."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from playbooks.common import ids
from playbooks.common.actors import actor_from_json, actor_to_json, asserted_actor
from playbooks.common.values import Actor, JsonObject
from playbooks.engine.model.control_messages import (
    ACTIONS,
    LATER_VERBS,
    MAX_MESSAGE_DEPTH,
    Claim,
    ControlMessage,
    Decide,
    MalformedMessage,
    Pause,
    Resume,
    Signal,
    read_message,
    signed_part,
    to_argument,
)
from tests.support.plans import ORGANIZATION, person

TASK = str(UUID("b280cb89-bcb2-4290-bc5f-586e92256f2c"))


def nested(levels: int) -> Any:
    value: Any = {}
    for _ in range(levels):
        value = {"x": value}
    return value


DEEP = nested(MAX_MESSAGE_DEPTH + 5_000)
NOT_TEXT = "field 'attachments' holds something that is not text"
DECIDE = {"step": "h", "decision": "approve"}


MALFORMED: list[tuple[str, list[Any], str, str]] = [
    ("shout", [], "INVALID_ACTION", "there is no such verb"),
    ("", [], "INVALID_ACTION", "there is no such verb"),
    ("PAUSE", [{}], "INVALID_ACTION", "there is no such verb"),
    ("pause", ["lunch"], "VALIDATION_ERROR", "one JSON object is expected, not text"),
    ("pause", [["lunch"]], "VALIDATION_ERROR", "one JSON object is expected, not a list"),
    ("pause", [3], "VALIDATION_ERROR", "one JSON object is expected, not a number"),
    ("pause", [True], "VALIDATION_ERROR", "one JSON object is expected, not a boolean"),
    ("pause", [{}, {}], "VALIDATION_ERROR", "one JSON object is expected, not 2 arguments"),
    ("pause", [{"why": "x"}], "VALIDATION_ERROR", "unknown field 'why'"),
    ("pause", [{"why": None}], "VALIDATION_ERROR", "unknown field 'why'"),
    ("pause", [{"verb": "resume"}], "VALIDATION_ERROR", "unknown field 'verb'"),
    ("pause", [{"reason": 3}], "VALIDATION_ERROR", "field 'reason' has the wrong type"),
    ("pause", [{"actor": "anna"}], "VALIDATION_ERROR", "field 'actor' has the wrong type"),
    ("pause", [{"signature": {}}], "VALIDATION_ERROR", "field 'signature' has the wrong type"),
    ("resume", [{"until": "x"}], "VALIDATION_ERROR", "unknown field 'until'"),
    ("decide", [], "VALIDATION_ERROR", "field 'task_id' or 'step' is missing"),
    ("decide", [None], "VALIDATION_ERROR", "field 'task_id' or 'step' is missing"),
    ("decide", [{"decision": "approve"}], "VALIDATION_ERROR", "field 'task_id' or 'step' is missing"),
    ("decide", [{"task_id": "h"}], "VALIDATION_ERROR", "field 'task_id' is not a UUID"),
    (
        "decide",
        [{"step": "h"}],
        "VALIDATION_ERROR",
        "field 'decision' is none of approve, reject, abstain, request_changes",
    ),
    (
        "decide",
        [{"step": "h", "decision": "yes"}],
        "VALIDATION_ERROR",
        "field 'decision' is none of approve, reject, abstain, request_changes",
    ),
    ("decide", [{**DECIDE, "data": []}], "VALIDATION_ERROR", "field 'data' has the wrong type"),
    ("decide", [{**DECIDE, "attachments": [1]}], "VALIDATION_ERROR", NOT_TEXT),
    ("decide", [{**DECIDE, "data": DEEP}], "VALIDATION_ERROR", "nested deeper than 32 levels"),
    ("decide", [{**DECIDE, "attachments": "a.pdf"}], "VALIDATION_ERROR", "field 'attachments' has the wrong type"),
    ("retry_step", [{"step": ""}], "VALIDATION_ERROR", "field 'step' is missing"),
    ("signal", [{"payload": 1}], "VALIDATION_ERROR", "field 'name' is missing"),
    ("signal", [{"name": "x" * 101}], "VALIDATION_ERROR", "field 'name' is longer than 100 characters"),
    ("claim", [{"step": 3}], "VALIDATION_ERROR", "field 'step' has the wrong type"),
    ("release", [{}], "VALIDATION_ERROR", "field 'task_id' or 'step' is missing"),
    (
        "signal",
        [{"name": "x", "payload": ["y" * 70_000]}],
        "VALIDATION_ERROR",
        "field 'payload' has more than 65536 bytes",
    ),
    (
        "complete_step",
        [{"step": "a", "output": {"x": "y" * 70_000}}],
        "VALIDATION_ERROR",
        "field 'output' has more than 65536 bytes",
    ),
    (
        "decide",
        [{**DECIDE, "data": {"x": "y" * 70_000}, "comment": "z" * 30_000}],
        "VALIDATION_ERROR",
        "its fields have more than 98304 bytes together",
    ),
]


@pytest.mark.parametrize(("verb", "arguments", "code", "reason"), MALFORMED)
def test_says_what_is_wrong_when_a_message_is_malformed(verb: str, arguments: Any, code: str, reason: str) -> None:
    assert read_message(verb, arguments) == MalformedMessage(verb=verb, code=code, reason=reason)


@pytest.mark.parametrize("verb", sorted(LATER_VERBS))
def test_is_not_supported_when_a_verb_comes_later(verb: str) -> None:
    message = read_message(verb, [{}])
    assert isinstance(message, MalformedMessage)
    assert message.code == "NOT_SUPPORTED"


def test_cuts_what_it_quotes_when_a_message_is_endless() -> None:
    message = read_message("x" * 5_000, [])
    field = read_message("pause", [{"y" * 5_000: 1}])
    assert isinstance(message, MalformedMessage)
    assert isinstance(field, MalformedMessage)
    assert len(message.verb) == 64
    assert len(field.reason) < 100


@pytest.mark.parametrize(
    ("verb", "arguments", "message"),
    [
        ("pause", [], ControlMessage(action=Pause())),
        ("pause", [None], ControlMessage(action=Pause())),
        ("pause", [{"reason": "lunch", "until": None}], ControlMessage(action=Pause(reason="lunch"))),
        ("resume", [{"actor": {"sub": "anna"}}], ControlMessage(action=Resume(), actor={"sub": "anna"})),
        (
            "decide",
            [{**DECIDE, "ticket": "t"}],
            ControlMessage(action=Decide(step="h", decision="approve"), ticket="t"),
        ),
        ("claim", [{"task_id": TASK, "step": None}], ControlMessage(action=Claim(task_id=UUID(TASK)))),
    ],
    ids=str,
)
def test_reads_the_message_when_it_is_well_formed(verb: str, arguments: Any, message: ControlMessage) -> None:
    assert read_message(verb, arguments) == message


_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)
_FIELDS = st.sampled_from(["step", "task_id", "decision", "data", "reason", "actor", "ticket", "signature", "x"])


@settings(max_examples=80, deadline=None, derandomize=True, database=None)
@given(
    verb=st.sampled_from([*sorted(ACTIONS), "shout"]),
    arguments=st.lists(_JSON | st.dictionaries(_FIELDS, _JSON, max_size=3), max_size=2),
)
def test_never_raises_when_a_message_is_anything(verb: str, arguments: list[Any]) -> None:
    message = read_message(verb, arguments)
    if isinstance(message, ControlMessage):
        assert asserted_actor(ORGANIZATION, message.actor).via == "temporal"


@pytest.mark.parametrize(
    ("message", "body"),
    [
        (ControlMessage(action=Pause()), {}),
        (
            ControlMessage(
                action=Decide(step="h", decision="approve", data={"n": None}, attachments=("a.pdf",)),
                actor={"id": TASK},
                signature="s",
            ),
            {**DECIDE, "data": {"n": None}, "attachments": ["a.pdf"]},
        ),
        (ControlMessage(action=Claim(task_id=UUID(TASK)), ticket="t"), {"task_id": TASK}),
        (ControlMessage(action=Signal(name="go", payload=[None, 1.5])), {"name": "go", "payload": [None, 1.5]}),
    ],
    ids=str,
)
def test_reads_the_same_message_back_when_it_was_written_by_the_api(message: ControlMessage, body: JsonObject) -> None:
    assert read_message(message.verb, [to_argument(message)]) == message
    assert signed_part(message) == {"verb": message.verb, "body": body, "actor": message.actor}


@pytest.mark.parametrize(
    ("said", "name", "roles"),
    [
        ({"sub": "anna", "name": "Anna", "roles": ["approver", 3, "chief"]}, "Anna", ("approver", "chief")),
        ({"sub": "anna"}, "anna", ()),
        ({"sub": "anna", "name": "", "roles": "approver"}, "anna", ()),
        ({"sub": 3, "roles": ["approver"]}, "a Temporal client", ()),
        ({}, "a Temporal client", ()),
        (None, "a Temporal client", ()),
    ],
    ids=str,
)
def test_is_who_it_says_when_a_temporal_client_speaks(said: Any, name: str, roles: tuple[str, ...]) -> None:
    actor = asserted_actor(ORGANIZATION, said)
    assert (actor.name, actor.roles, actor.via) == (name, roles, "temporal")
    subject = "anna" if name in ("Anna", "anna") else "temporal-client"
    assert actor.id == ids.actor_id(ORGANIZATION, subject)


def test_is_the_same_person_when_an_actor_travels_in_a_message() -> None:
    anna = person("anna", "approver")
    assert actor_from_json(actor_to_json(anna), "api") == anna
    assert actor_from_json(actor_to_json(anna), "ticket") == Actor(
        id=anna.id, name="anna", roles=("approver",), via="ticket"
    )


@pytest.mark.parametrize("value", [{}, {"id": TASK}, {"id": "no", "name": "x"}, {"id": 3, "name": "x"}], ids=str)
def test_is_nobody_when_an_actor_cannot_be_read(value: Any) -> None:
    assert actor_from_json(value, "api") is None

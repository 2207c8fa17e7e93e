"""Control messages as they cross Temporal: one JSON object, whatever its sender.

`read_envelope` is total: whatever shape a message has, it answers an `Envelope` or says what is wrong with it, so
a malformed signal is recorded as refused and never blocks a run.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, cast, get_args
from uuid import UUID

from playbooks.common.values import Json, JsonObject

MAX_ENVELOPE_DEPTH = 32

StepVerb: TypeAlias = Literal["retry_step", "skip_step", "complete_step", "fail_step"]
STEP_VERBS: frozenset[StepVerb] = frozenset(get_args(StepVerb))
"""Verbs by which somebody says what becomes of a step."""

SERVICE_VERBS: frozenset[str] = frozenset({"child_ended", "concurrency_free"})
"""What the service tells a run by itself; nobody else may say it."""

BUILT_VERBS: frozenset[str] = (
    frozenset({"pause", "resume", "cancel_run", "decide", "claim", "release", "signal"}) | STEP_VERBS | SERVICE_VERBS
)
"""Verbs that take effect in this version."""

LATER_VERBS: frozenset[str] = frozenset(
    {"assign", "delegate", "reassign", "set_variables", "update_priority", "update_options"}
)
"""Verbs of the contract that are refused with NOT_SUPPORTED until they are built."""

PERSON_VERBS: frozenset[str] = frozenset({"decide", "claim", "release"})
"""Verbs that need a person's identity on every path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """One control message. `body` holds the verb's fields; identity is in exactly one of the others.

    `signature` with `actor`: sent by the API (HMAC over everything but the signature). `ticket`: a short-lived
    ticket of the API. `actor` alone: asserted by a Temporal client.
    """

    verb: str
    body: JsonObject = field(default_factory=dict[str, Json])
    actor: JsonObject | None = None
    ticket: str | None = None
    signature: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Malformed:
    """Why a message cannot be read, and the text of what came, cut to a bounded length."""

    verb: str
    code: str
    reason: str


_IDENTITY_FIELDS = {"actor", "ticket", "signature"}
_ANY = (dict, list, str, int, float, bool)
_FIELDS: dict[str, dict[str, type | tuple[type, ...]]] = {
    "pause": {"reason": str, "until": str},
    "resume": {"reason": str},
    "cancel_run": {"reason": str},
    "decide": {
        "step": str,
        "task_id": str,
        "decision": str,
        "comment": str,
        "data": dict,
        "attachments": list,
    },
    "claim": {"step": str, "task_id": str},
    "release": {"step": str, "task_id": str},
    "signal": {"name": str, "payload": _ANY},
    "retry_step": {"step": str, "reason": str},
    "skip_step": {"step": str, "reason": str, "output": _ANY},
    "complete_step": {"step": str, "reason": str, "output": _ANY},
    "fail_step": {"step": str, "reason": str},
    "child_ended": {"step": str, "visit": int, "execution_id": str},
    "concurrency_free": {},
}
_REQUIRED: dict[str, str] = {"signal": "name", "child_ended": "step", **dict.fromkeys(STEP_VERBS, "step")}
MAX_SIGNAL_NAME = 100
MAX_VALUE_BYTES = 65_536
"""Of a signal's payload, and of an output that is given by hand: both travel in the run's state."""
MAX_BODY_BYTES = 98_304
"""Of all fields together: comments, forms and reasons travel in the state as well."""
_CHOICES = frozenset({"approve", "reject", "abstain", "request_changes"})


def read_envelope(verb: str, arguments: Sequence[Json]) -> Envelope | Malformed:
    """The message `verb` with these decoded arguments, or what is wrong with it. Never raises."""
    if verb in LATER_VERBS:
        return Malformed(verb=verb, code="NOT_SUPPORTED", reason=f"'{verb}' is not supported yet")
    if verb not in BUILT_VERBS:
        return Malformed(verb=verb[:64], code="INVALID_ACTION", reason="there is no such verb")
    if not arguments:
        return _read_object(verb, {})
    if len(arguments) > 1:
        return _bad(verb, f"one JSON object is expected, not {len(arguments)} arguments")
    argument = arguments[0]
    if argument is None:
        return _read_object(verb, {})
    if not isinstance(argument, dict):
        return _bad(verb, f"one JSON object is expected, not {_name_of(argument)}")
    return _read_object(verb, argument)


def signed_part(envelope: Envelope) -> JsonObject:
    """What the API's signature covers: everything but the signature itself."""
    return {"verb": envelope.verb, "body": envelope.body, "actor": envelope.actor}


def to_argument(envelope: Envelope) -> JsonObject:
    """The one JSON object that carries this envelope in a signal or an update."""
    argument: JsonObject = dict(envelope.body)
    for name in ("actor", "ticket", "signature"):
        value = cast("Json", getattr(envelope, name))
        if value is not None:
            argument[name] = value
    return argument


def _read_object(verb: str, value: JsonObject) -> Envelope | Malformed:
    if _depth_exceeds(value, MAX_ENVELOPE_DEPTH):
        return _bad(verb, f"nested deeper than {MAX_ENVELOPE_DEPTH} levels")
    wrong = _wrong_field(verb, value)
    if wrong is not None:
        return wrong
    actor, ticket, signature = value.get("actor"), value.get("ticket"), value.get("signature")
    return Envelope(
        verb=verb,
        body={name: item for name, item in value.items() if name not in _IDENTITY_FIELDS and item is not None},
        actor=actor if isinstance(actor, dict) else None,
        ticket=ticket if isinstance(ticket, str) else None,
        signature=signature if isinstance(signature, str) else None,
    )


def _wrong_field(verb: str, value: JsonObject) -> Malformed | None:
    allowed: dict[str, type | tuple[type, ...]] = {**_FIELDS[verb], "actor": dict, "ticket": str, "signature": str}
    for name, item in value.items():
        if name not in allowed:
            return _bad(verb, f"unknown field '{name[:64]}'")
        if item is not None and not isinstance(item, allowed[name]):
            return _bad(verb, f"field '{name}' has the wrong type")
    if verb in SERVICE_VERBS and value.get("signature") is None:
        return Malformed(verb=verb, code="UNAUTHORIZED", reason=f"only the service itself says '{verb}'")
    required = _REQUIRED.get(verb)
    if required is not None and not value.get(required):
        return _bad(verb, f"field '{required}' is missing")
    wrong = _wrong_content(verb, value)
    return _wrong_target(verb, value) if wrong is None and verb in PERSON_VERBS else wrong


def _wrong_content(verb: str, value: JsonObject) -> Malformed | None:
    attachments = value.get("attachments")
    if isinstance(attachments, list) and not all(isinstance(item, str) for item in attachments):
        return _bad(verb, "field 'attachments' holds something that is not text")
    for name in ("payload", "output"):
        if name in _FIELDS[verb] and size_bytes(value.get(name)) > MAX_VALUE_BYTES:
            return _bad(verb, f"field '{name}' has more than {MAX_VALUE_BYTES} bytes")
    if size_bytes({name: item for name, item in value.items() if name not in _IDENTITY_FIELDS}) > MAX_BODY_BYTES:
        return _bad(verb, f"its fields have more than {MAX_BODY_BYTES} bytes together")
    if verb == "signal" and len(str(value["name"])) > MAX_SIGNAL_NAME:
        return _bad(verb, f"field 'name' is longer than {MAX_SIGNAL_NAME} characters")
    return None


def _wrong_target(verb: str, value: JsonObject) -> Malformed | None:
    task = value.get("task_id")
    if task is None and value.get("step") is None:
        return _bad(verb, "field 'task_id' or 'step' is missing")
    if isinstance(task, str) and not _is_uuid(task):
        return _bad(verb, "field 'task_id' is not a UUID")
    if verb == "decide" and value.get("decision") not in _CHOICES:
        return _bad(verb, "field 'decision' is none of approve, reject, abstain, request_changes")
    return None


def size_bytes(value: Json) -> int:
    """Bytes of the value as JSON; of a depth that was bounded before."""
    return len(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _bad(verb: str, reason: str) -> Malformed:
    return Malformed(verb=verb, code="VALIDATION_ERROR", reason=reason)


def _name_of(value: Json) -> str:
    match value:
        case bool():
            return "a boolean"
        case str():
            return "text"
        case list():
            return "a list"
        case _:
            return "a number"


def _depth_exceeds(value: Json, limit: int) -> bool:
    """Iterative, so that a hostile depth cannot exhaust the stack."""
    stack: list[tuple[Json, int]] = [(value, 1)]
    while stack:
        item, depth = stack.pop()
        if depth > limit:
            return True
        if isinstance(item, dict):
            stack.extend((child, depth + 1) for child in item.values())
        elif isinstance(item, list):
            stack.extend((child, depth + 1) for child in item)
    return False

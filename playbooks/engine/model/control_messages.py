"""Control messages: one type per verb, and the reader of what a client of Temporal sends.

`read_message` is total: whatever arrives, it returns a `ControlMessage` or the reason why there is none, so that a
malformed signal is recorded as refused and never blocks a run.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Annotated, Literal, TypeAlias, cast, get_args
from uuid import UUID

from pydantic import Field, Strict, StringConstraints, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from playbooks.common.values import Json, JsonObject

MAX_MESSAGE_DEPTH = 32
MAX_SIGNAL_NAME = 100
MAX_VALUE_BYTES = 65_536
"""Of a signal's payload, and of an output that is given by hand: both travel in the run's state."""
MAX_BODY_BYTES = 98_304
"""Of all fields together: comments, forms and reasons travel in the state as well."""

Choice: TypeAlias = Literal["approve", "reject", "abstain", "request_changes"]
LATER_VERBS: frozenset[str] = frozenset(
    {"assign", "delegate", "reassign", "set_variables", "update_priority", "update_options"}
)
"""Verbs of the contract that are refused with NOT_SUPPORTED until they are built."""

_StepKey: TypeAlias = Annotated[str, StringConstraints(min_length=1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """`until`: the instant, as ISO 8601 with an offset, at which the run resumes by itself."""

    verb: Literal["pause"] = "pause"
    reason: str | None = None
    until: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume:
    verb: Literal["resume"] = "resume"
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelRun:
    verb: Literal["cancel_run"] = "cancel_run"
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """A named message for the steps that wait for it."""

    verb: Literal["signal"] = "signal"
    name: Annotated[str, StringConstraints(min_length=1, max_length=MAX_SIGNAL_NAME)]
    payload: Json = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decide:
    """A person's answer to a task, which is named by its id or by its step."""

    verb: Literal["decide"] = "decide"
    task_id: UUID | None = None
    step: str | None = None
    decision: Choice
    comment: str | None = None
    data: JsonObject | None = None
    attachments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    verb: Literal["claim"] = "claim"
    task_id: UUID | None = None
    step: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    verb: Literal["release"] = "release"
    task_id: UUID | None = None
    step: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryStep:
    verb: Literal["retry_step"] = "retry_step"
    step: _StepKey
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SkipStep:
    verb: Literal["skip_step"] = "skip_step"
    step: _StepKey
    reason: str | None = None
    output: Json = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CompleteStep:
    verb: Literal["complete_step"] = "complete_step"
    step: _StepKey
    reason: str | None = None
    output: Json = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FailStep:
    verb: Literal["fail_step"] = "fail_step"
    step: _StepKey
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildEnded:
    """The run that visit `visit` of a step started has ended."""

    verb: Literal["child_ended"] = "child_ended"
    step: _StepKey
    visit: Annotated[int, Strict()]
    execution_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class ConcurrencyFree:
    """It may be the turn of a run that waits for others of its key."""

    verb: Literal["concurrency_free"] = "concurrency_free"


RunAction: TypeAlias = Pause | Resume | CancelRun | Signal
PersonAction: TypeAlias = Decide | Claim | Release
"""Needs a person's identity on every path."""
StepAction: TypeAlias = RetryStep | SkipStep | CompleteStep | FailStep
ServiceAction: TypeAlias = ChildEnded | ConcurrencyFree
"""Sent by the service itself; from anybody else it is refused."""
Action: TypeAlias = RunAction | PersonAction | StepAction | ServiceAction

ACTIONS: dict[str, type[Action]] = {cast("str", fields(each)[0].default): each for each in get_args(Action)}
"""By verb, which is the first field of each."""
FIELD_NAMES = {verb: {each.name for each in fields(action)[1:]} for verb, action in ACTIONS.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlMessage:
    """An action with the identity of its sender.

    `signature` with `actor`: sent by the API (HMAC over everything but the signature). `ticket`: a short-lived
    ticket of the API. `actor` alone: asserted by a Temporal client.
    """

    action: Annotated[Action, Field(discriminator="verb")]
    actor: JsonObject | None = None
    ticket: str | None = None
    signature: str | None = None

    @property
    def verb(self) -> str:
        return self.action.verb

    @property
    def is_identified(self) -> bool:
        return self.signature is not None or self.ticket is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class MalformedMessage:
    """Why a message cannot be read. `verb` and the names in `reason` are cut to 64 characters."""

    verb: str
    code: str
    reason: str


_IDENTITY_FIELDS = {"actor", "ticket", "signature"}
_READER = TypeAdapter(ControlMessage)


def read_message(verb: str, arguments: Sequence[Json]) -> ControlMessage | MalformedMessage:
    """Read the message `verb` with these decoded arguments. Never raises."""
    if verb in LATER_VERBS:
        return MalformedMessage(verb=verb, code="NOT_SUPPORTED", reason=f"'{verb}' is not supported yet")
    if verb not in ACTIONS:
        return MalformedMessage(verb=verb[:64], code="INVALID_ACTION", reason="there is no such verb")
    if len(arguments) > 1:
        return _malformed(verb, f"one JSON object is expected, not {len(arguments)} arguments")
    value = arguments[0] if arguments else None
    if value is not None and not isinstance(value, dict):
        return _malformed(verb, f"one JSON object is expected, not {_name_of(value)}")
    return _read_object(verb, ACTIONS[verb], value or {})


def body_of(action: Action) -> JsonObject:
    """Return the fields of an action as they travel: JSON, and only those that are set."""
    values = ((each.name, _to_json(getattr(action, each.name))) for each in fields(action)[1:])
    return {name: value for name, value in values if value is not None}


def signed_part(message: ControlMessage) -> JsonObject:
    """Return what a signature covers: everything but the signature itself."""
    return {"verb": message.verb, "body": body_of(message.action), "actor": message.actor}


def to_argument(message: ControlMessage) -> JsonObject:
    """Return the one JSON object that carries this message in a signal or an update."""
    identity = {"actor": message.actor, "ticket": message.ticket, "signature": message.signature}
    return {**body_of(message.action), **{name: value for name, value in identity.items() if value is not None}}


def size_bytes(value: Json) -> int:
    """Return the size of the value as JSON; its depth has to be bounded."""
    return len(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))


def _read_object(verb: str, action: type[Action], value: JsonObject) -> ControlMessage | MalformedMessage:
    if _depth_exceeds(value, MAX_MESSAGE_DEPTH):
        return _malformed(verb, f"nested deeper than {MAX_MESSAGE_DEPTH} levels")
    unknown = sorted(value.keys() - FIELD_NAMES[verb] - _IDENTITY_FIELDS)
    if unknown:
        return _malformed(verb, f"unknown field '{unknown[0][:64]}'")
    sent: JsonObject = {name: item for name, item in value.items() if item is not None}
    identity = {name: sent.pop(name) for name in _IDENTITY_FIELDS if name in sent}
    if issubclass(action, ServiceAction) and "signature" not in identity:
        return MalformedMessage(verb=verb, code="UNAUTHORIZED", reason=f"only the service itself sends '{verb}'")
    reason = _size_problem(sent)
    if reason is None and issubclass(action, PersonAction) and not sent.keys() & {"task_id", "step"}:
        reason = "field 'task_id' or 'step' is missing"
    if reason is not None:
        return _malformed(verb, reason)
    try:
        return _READER.validate_python({"action": {**sent, "verb": verb}, **identity})
    except ValidationError as error:
        return _malformed(verb, _reason_of(error.errors(include_url=False, include_context=False)[0]))


def _size_problem(sent: JsonObject) -> str | None:
    for name in ("payload", "output"):
        if size_bytes(sent.get(name)) > MAX_VALUE_BYTES:
            return f"field '{name}' has more than {MAX_VALUE_BYTES} bytes"
    if size_bytes(sent) > MAX_BODY_BYTES:
        return f"its fields have more than {MAX_BODY_BYTES} bytes together"
    return None


def _reason_of(error: ErrorDetails) -> str:
    """Describe an error without what was sent. `loc` is ("action", verb, field, ...) or (field of the identity,)."""
    field, *inner = error["loc"][2:] or error["loc"]
    match error["type"]:
        case _ if field == "decision":
            return f"field 'decision' is none of {', '.join(get_args(Choice))}"
        case "missing" | "string_too_short":
            return f"field '{field}' is missing"
        case "string_too_long":
            return f"field '{field}' is longer than {MAX_SIGNAL_NAME} characters"
        case "uuid_parsing":
            return f"field '{field}' is not a UUID"
        case _ if inner and field == "attachments":
            return "field 'attachments' holds something that is not text"
        case _:
            return f"field '{field}' has the wrong type"


def _to_json(value: object) -> Json:
    match value:
        case UUID():
            return str(value)
        case tuple():
            return list(cast("tuple[str, ...]", value)) or None
        case _:
            return cast("Json", value)


def _malformed(verb: str, reason: str) -> MalformedMessage:
    return MalformedMessage(verb=verb, code="VALIDATION_ERROR", reason=reason)


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

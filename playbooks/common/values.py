"""Small values that every room uses: JSON, people, step errors.

Everything here is immutable and survives a round trip through JSON unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal, TypeAlias, cast
from uuid import UUID

from pydantic import Discriminator, JsonValue, Tag

Json: TypeAlias = JsonValue
JsonObject: TypeAlias = dict[str, JsonValue]

Path: TypeAlias = tuple[str, ...]
"""A reference into the run's context, e.g. `("steps", "score", "output", "total")`; a prefix stands for all below."""

RunStatus: TypeAlias = Literal["queued", "in_progress", "paused", "completed", "failed", "cancelled"]
StepStatus: TypeAlias = Literal["pending", "in_progress", "waiting", "completed", "failed", "skipped", "cancelled"]
StepType: TypeAlias = Literal["system", "human", "ai", "external"]
Priority: TypeAlias = Literal["low", "normal", "high", "critical"]
ErrorKind: TypeAlias = Literal[
    "timeout",
    "network",
    "temporary_failure",
    "rate_limited",
    "validation",
    "permission",
    "not_found",
    "business_rule",
    "cancelled",
    "system",
]
Via: TypeAlias = Literal["api", "ticket", "temporal", "system"]

FINISHED_RUN: frozenset[str] = frozenset({"completed", "failed", "cancelled"})
FINISHED_STEP: frozenset[str] = frozenset({"completed", "failed", "skipped", "cancelled"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who did something. `via` says how the identity was established.

    `api`: from a verified bearer token; `ticket`: from a ticket that the API issued; `temporal`: asserted by a
    Temporal client under the operator's setting `TRUST_TEMPORAL`; `system`: the service itself.
    """

    id: UUID
    name: str
    roles: tuple[str, ...] = ()
    via: Via = "api"


MAX_RETRY_AFTER_MS = 86_400_000
"""The longest `Retry-After` of another service that is honoured: a day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepError:
    """Why an attempt failed. `kind` decides about retries, `code` is stable, `message` is for people only."""

    kind: ErrorKind
    code: str
    message: str
    pointer: str | None = None
    retry_after_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PayloadRef:
    """Points at a value over 64 KB that its activity stored in line `step_payload` of the run."""

    line_number: int
    size_bytes: int
    sha256: str


_REF_FIELDS = frozenset({"line_number", "size_bytes", "sha256"})


def _kind_of_held(value: object) -> str:
    if isinstance(value, PayloadRef):
        return "reference"
    fields = cast("dict[str, object]", value) if isinstance(value, dict) else {}
    return "reference" if fields.keys() == _REF_FIELDS else "value"


Held: TypeAlias = Annotated[
    Annotated[Json, Tag("value")] | Annotated[PayloadRef, Tag("reference")], Discriminator(_kind_of_held)
]
"""A value, or a reference to where it is stored. The fields distinguish the two, so that both survive a round trip
through JSON; loading a reference compares its hash, so a value that only looks like one is an error of its own step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The answer to one control message.

    `accepted`: it took effect. `kept`: it was checked and takes effect at resume. `refused`: nothing changed;
    `code` is one of the API's codes and `errors` point into the message that was sent.
    """

    outcome: Literal["accepted", "kept", "refused"]
    code: str | None = None
    detail: str | None = None
    errors: tuple[JsonObject, ...] = ()
    data: JsonObject | None = None
    at: datetime | None = None

"""Small values that every room speaks of: JSON, people, step errors.

Owns the vocabulary; must not know Temporal, SQL or HTTP. Everything here is immutable and survives a
round trip through JSON unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias
from uuid import UUID

from pydantic import JsonValue

Json: TypeAlias = JsonValue
JsonObject: TypeAlias = dict[str, JsonValue]

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

"""The audit trail of a run: entries numbered without gaps, each with the hash of the one before.

Invariant: number n's `previous_hash` is number n-1's `hash`, and the hash is over the RFC 8785 canonical JSON of the
values as stored, so any reader of the rows can check the chain. An entry names its run, so a chain cannot be moved to
another one.

The machine numbers what it records. The tables add entries of their own (for a value that was left out), so stored
numbers are their own sequence, and `source_number` has the machine's.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import rfc8785
from sqlalchemy import RowMapping, select

from playbooks.common import ids, smart_codes
from playbooks.common.values import Actor, Json, JsonObject
from playbooks.engine.model.audit import AuditKind, TableAuditKind
from playbooks.engine.model.state import AuditEvent
from storage.database import json_columns
from storage.database.line_writes import insert_lines
from storage.database.quarantine import Quarantine
from storage.database.sealing import escape_markers
from storage.database.sessions import ReadSession, WriteSession
from storage.database.tables import lines

FIRST_LINE = 1_000_000
GENESIS = "0" * 64
_EXACT_INTEGER = 2**53


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainHead:
    """The end of a chain: the number of entries, the last one's hash, and the machine's last number in it."""

    count: int = 0
    hash: str = GENESIS
    source_number: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEvent:
    """An entry to record. `source_number` is the machine's number, None where the tables add it."""

    at: datetime
    kind: AuditKind | TableAuditKind
    actor: Actor | None = None
    step: str | None = None
    data: JsonObject
    source_number: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRow:
    """One entry of the trail as stored. `number` is gapless from 1."""

    number: int
    at: datetime
    kind: str
    actor: Actor | None
    step: str | None
    data: JsonObject
    source_number: int | None
    previous_hash: str
    hash: str


def from_machine(event: AuditEvent) -> NewEvent:
    """The machine's event as an entry to record."""
    return NewEvent(
        at=event.at,
        kind=event.kind,
        actor=event.actor,
        step=event.step,
        data=event.data,
        source_number=event.number,
    )


class EventGapError(Exception):
    """The machine's numbers jump: entries are missing, and the trail must not hide that."""


def hash_of(entry: JsonObject) -> str:
    """SHA-256 over the RFC 8785 canonical JSON of an entry as stored (`line_data`), without its `hash`."""
    whole: JsonObject = {name: value for name, value in entry.items() if name != "hash"}
    return hashlib.sha256(canonical_bytes(whole)).hexdigest()


def canonical_bytes(value: Json) -> bytes:
    """RFC 8785 canonical JSON. Where no number or name needs its rules, the standard library gives the same, faster."""
    if _is_plain(value):
        return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
    return rfc8785.dumps(_canonical(value))


def chain(
    execution_id: UUID, head: ChainHead, new: Iterable[NewEvent], quarantine: Quarantine
) -> tuple[list[EventRow], ChainHead]:
    """The entries with their numbers and hashes, and the chain's new end."""
    rows: list[EventRow] = []
    for event in new:
        number = head.count + 1
        row = EventRow(
            number=number,
            at=event.at,
            kind=quarantine.take_text("event.kind", event.kind) or "",
            actor=_clean_actor(event.actor, quarantine),
            step=event.step,
            data=json_columns.as_object(escape_markers(quarantine.take("event.data", event.data, step=event.step))),
            source_number=event.source_number,
            previous_hash=head.hash,
            hash="",
        )
        digest = hash_of(entry_of(execution_id, row))
        rows.append(replace(row, hash=digest))
        head = ChainHead(count=number, hash=digest, source_number=event.source_number or head.source_number)
    return rows, head


def is_intact(execution_id: UUID, rows: Sequence[EventRow]) -> bool:
    """Whether these entries, from number 1 on, are complete and unchanged."""
    previous = GENESIS
    for number, row in enumerate(rows, start=1):
        if row.number != number or row.previous_hash != previous or row.hash != hash_of(entry_of(execution_id, row)):
            return False
        previous = row.hash
    return True


async def append_events(
    session: WriteSession, execution_id: UUID, industry: str, head: ChainHead, new: Sequence[NewEvent]
) -> ChainHead:
    """Write the entries behind `head` and return the new end. The caller holds the run's row.

    Raises EventGapError, and writes nothing, where an entry of the machine is missing.
    """
    rows, head = link_events(execution_id, head, new)
    await insert_lines(session, [event_line(session, execution_id, industry, row) for row in rows])
    return head


def link_events(execution_id: UUID, head: ChainHead, new: Sequence[NewEvent]) -> tuple[list[EventRow], ChainHead]:
    """The entries behind `head` as they will be stored, and the new end.

    A value that cannot be stored is left out by column and recorded as an entry `value_quarantined`. Raises
    EventGapError where an entry of the machine is missing.
    """
    _refuse_gap(head, new)
    quarantine = Quarantine()
    rows, head = chain(execution_id, head, new, quarantine)
    if quarantine.found:
        extra, head = chain(execution_id, head, quarantine_events(quarantine, new[-1].at), Quarantine())
        rows += extra
    return rows, head


def quarantine_events(quarantine: Quarantine, at: datetime) -> list[NewEvent]:
    """The entries for values that were left out."""
    return [NewEvent(at=at, kind="value_quarantined", data=found) for found in quarantine.found]


async def list_events(
    session: ReadSession, execution_id: UUID, *, after: int = 0, limit: int = 1_000
) -> tuple[EventRow, ...]:
    """The run's entries with a number above `after`, in order. Empty for a run that is not there."""
    statement = (
        select(lines.c.line_data)
        .where(lines.c.organization_id == session.organization_id, lines.c.transaction_id == execution_id)
        .where(lines.c.line_type == "run_event", lines.c.line_number > FIRST_LINE + after)
        .order_by(lines.c.line_number)
        .limit(limit)
    )
    found = await session.connection.execute(statement)
    return tuple(_row(row) for row in found.mappings())


def _row(row: RowMapping) -> EventRow:
    data = json_columns.as_object(row["line_data"])
    at = json_columns.instant_from_json(data.get("at"))
    if at is None:
        raise ValueError("an event has no instant")
    return EventRow(
        number=json_columns.as_int(data.get("number")),
        at=at,
        kind=json_columns.as_text(data.get("kind")) or "",
        actor=json_columns.actor_from_json(data.get("actor")),
        step=json_columns.as_text(data.get("step")),
        data=json_columns.as_object(data.get("data")),
        source_number=None if data.get("source_number") is None else json_columns.as_int(data.get("source_number")),
        previous_hash=json_columns.as_text(data.get("previous_hash")) or "",
        hash=json_columns.as_text(data.get("hash")) or "",
    )


def event_line(session: WriteSession, execution_id: UUID, industry: str, row: EventRow) -> dict[str, Any]:
    """The columns of an entry's line."""
    number = FIRST_LINE + row.number
    return {
        "id": ids.line_id(execution_id, number),
        "organization_id": session.organization_id,
        "transaction_id": execution_id,
        "line_number": number,
        "line_type": "run_event",
        "description": row.kind,
        "quantity": 0,
        "smart_code": smart_codes.build(industry, "RUN.EVENT", row.kind),
        "line_data": entry_of(execution_id, row),
        "created_at": row.at,
        "updated_at": row.at,
        "created_by": None if row.actor is None else row.actor.id,
    }


def entry_of(execution_id: UUID, row: EventRow) -> JsonObject:
    """The entry as its line stores it."""
    return {
        "execution_id": str(execution_id),
        "number": row.number,
        "source_number": row.source_number,
        "at": json_columns.instant_to_json(row.at),
        "kind": row.kind,
        "actor": json_columns.actor_to_json(row.actor),
        "step": row.step,
        "data": row.data,
        "previous_hash": row.previous_hash,
        "hash": row.hash,
    }


def _refuse_gap(head: ChainHead, new: Sequence[NewEvent]) -> None:
    """A newer execution may count again from an earlier number, so only a jump forward is a gap."""
    last = head.source_number
    for event in new:
        if event.source_number is None:
            continue
        if event.source_number > last + 1:
            raise EventGapError(f"event {event.source_number} cannot follow event {last}")
        last = event.source_number


def _clean_actor(actor: Actor | None, quarantine: Quarantine) -> Actor | None:
    """The actor without a name or role that cannot be stored."""
    if actor is None:
        return None
    name = quarantine.take_text("event.actor.name", actor.name) or ""
    roles = [quarantine.take_text("event.actor.roles", role) or "" for role in actor.roles]
    return replace(actor, name=name, roles=tuple(roles))


def _is_plain(value: Json) -> bool:
    """Whether all numbers are small integers and all names ASCII: then there is only one way to write and sort them."""
    if isinstance(value, dict):
        return all(name.isascii() and _is_plain(item) for name, item in value.items())
    if isinstance(value, list):
        return all(_is_plain(item) for item in value)
    return not isinstance(value, float) and (not isinstance(value, int) or -_EXACT_INTEGER < value < _EXACT_INTEGER)


def _canonical(value: Json) -> Any:
    """Make large integers doubles: RFC 8785 has doubles only, and jsonb gives large doubles back as integers."""
    if isinstance(value, dict):
        return {name: _canonical(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= _EXACT_INTEGER:
        return float(value)
    return value

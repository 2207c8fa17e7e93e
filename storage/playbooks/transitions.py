"""Transitions of versions: those that took place, those that wait for their time, and those that came to nothing.

Owns rows `PLAYBOOK_TRANSITION`. `transaction_date`
is when it took place, or is due. Invariant: a row that ended (completed, failed, cancelled) never changes again.

| status | meaning |
|---|---|
| scheduled | waits until it is due |
| in_progress | took place; runs that it cancels are not all over yet |
| completed | took place |
| failed | was due, and was refused then |
| cancelled | was withdrawn before it was due |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeAlias, cast
from uuid import UUID, uuid4, uuid5

from sqlalchemy import ColumnElement, RowMapping, Select, func, insert, or_, select, update

from playbooks.common import smart_codes
from playbooks.common.errors import InvalidTransitionError, NotFoundError
from playbooks.common.values import Actor, Json, JsonObject
from playbooks.lifecycle.transitions import Action, PlaybookStatus
from storage.database import json_columns
from storage.database.quarantine import refuse_poison
from storage.database.sessions import ReadSession, RecoverySession, WriteSession
from storage.database.tables import entities, transactions
from storage.playbooks.notifications import insert_notification
from storage.playbooks.version_rows import PlaybookRow, get_version, hold_version

TransitionStatus: TypeAlias = Literal["scheduled", "in_progress", "completed", "failed", "cancelled"]
TRANSITION_TYPE = "PLAYBOOK_TRANSITION"
MAX_HISTORY = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class TransitionRow:
    """One step of a version's life: who moved it from where to where, when and why.

    `details` is what else belongs to it, as JSON: `on_live_runs`, `overrides` as asked, `overridden` warnings,
    `revision`, `notification`, `side_effects`, `problems`, `cancelled`.
    """

    id: UUID
    playbook_id: UUID
    status: TransitionStatus
    action: str
    from_status: PlaybookStatus
    to_status: PlaybookStatus
    actor: Actor | None
    reason: str | None
    at: datetime
    requested_at: datetime
    effective_date: datetime | None
    details: JsonObject = field(default_factory=dict[str, Json])


@dataclass(frozen=True, slots=True, kw_only=True)
class UnfinishedTransition:
    """A transition that has something to do by now, as the recovery role sees it."""

    organization_id: UUID
    id: UUID
    is_due: bool


async def transition(
    session: WriteSession,
    playbook_id: UUID,
    *,
    action: str,
    from_status: PlaybookStatus,
    to_status: PlaybookStatus,
    actor: Actor,
    reason: str | None = None,
    effective_date: datetime | None = None,
    notification: JsonObject | None = None,
    status: TransitionStatus = "completed",
    details: JsonObject | None = None,
    identity: UUID | None = None,
    scheduled: TransitionRow | None = None,
) -> PlaybookRow:
    """Move a version and record who did it and why; a notification that was asked for is stored undelivered.

    The record gets the id `identity`. `scheduled` is the row that waited for this: it becomes the record. Raises
    NotFoundError, InvalidTransitionError when the version is not `from_status` any more, ValidationError when something
    cannot be stored.
    """
    _refuse_poison(reason, notification)
    row = await hold_version(session, playbook_id)
    if row.status != from_status:
        raise InvalidTransitionError(f"the playbook is {row.status} by now, not {from_status}")
    await session.connection.execute(
        update(entities)
        .where(entities.c.organization_id == session.organization_id, entities.c.id == playbook_id)
        .values(status=to_status, version=row.revision + 1, updated_by=actor.id, updated_at=func.now())
    )
    facts: JsonObject = {**(details or {}), "from_status": from_status, "to_status": to_status}
    if scheduled is None:
        identity = identity or uuid4()
        facts |= _facts(action, actor, reason, effective_date, notification)
        await _insert(session, row, identity, status=status, at=datetime.now(UTC), actor=actor, facts=facts)
    else:
        identity = scheduled.id
        if not await settle(session, scheduled, status=status, details=facts):
            raise InvalidTransitionError("the transition is not scheduled any more")
    if notification is not None:
        await notify(session, row, identity, "playbook_transition", {"action": action, "settings": notification})
    return await get_version(session, playbook_id)


async def schedule(
    session: WriteSession,
    row: PlaybookRow,
    *,
    action: Action,
    from_status: PlaybookStatus,
    to_status: PlaybookStatus,
    actor: Actor,
    reason: str | None,
    effective_date: datetime,
    notification: JsonObject | None,
    details: JsonObject,
) -> TransitionRow:
    """Store a transition that waits until `effective_date`. The caller holds the version.

    Raises ValidationError when something cannot be stored.
    """
    _refuse_poison(reason, notification)
    facts: JsonObject = {**details, "from_status": from_status, "to_status": to_status}
    facts |= _facts(action, actor, reason, effective_date, notification)
    identity = uuid4()
    await _insert(session, row, identity, status="scheduled", at=effective_date, actor=actor, facts=facts)
    return await get_transition(session, row.id, identity)


async def settle(
    session: WriteSession, found: TransitionRow, *, status: TransitionStatus, details: JsonObject | None = None
) -> bool:
    """Give an unfinished transition its next status, and add to its record. False where it moved meanwhile."""
    now = datetime.now(UTC)
    statement = (
        update(transactions)
        .where(_is_transition(session), transactions.c.id == found.id)
        .where(transactions.c.transaction_status == found.status)
        .values(transaction_status=status, updated_at=now, metadata=transactions.c.metadata.concat(details or {}))
        .returning(transactions.c.id)
    )
    if found.status == "scheduled":
        statement = statement.values(transaction_date=now)
    return (await session.connection.execute(statement)).first() is not None


async def notify(session: WriteSession, row: PlaybookRow, identity: UUID, kind: str, data: JsonObject) -> None:
    """Record a notification of a transition, once for each kind."""
    await insert_notification(
        session,
        uuid5(identity, "notification" if kind == "playbook_transition" else kind),
        industry=row.industry,
        playbook_id=row.id,
        kind=kind,
        key=f"{identity}:{kind}",
        data={**data, "transition_id": str(identity)},
    )


async def get_transition(session: ReadSession, playbook_id: UUID, identity: UUID) -> TransitionRow:
    """One transition of the version. Raises NotFoundError."""
    statement = _select(session).where(transactions.c.target_entity_id == playbook_id, transactions.c.id == identity)
    row = (await session.connection.execute(statement)).mappings().one_or_none()
    if row is None:
        raise NotFoundError("there is no such transition")
    return _transition(row)


async def find_transition(session: ReadSession, identity: UUID) -> TransitionRow | None:
    """The transition with this id, of whatever version, if it is one of ours."""
    statement = _select(session).where(transactions.c.id == identity)
    row = (await session.connection.execute(statement)).mappings().one_or_none()
    return None if row is None else _transition(row)


async def list_transitions(session: ReadSession, playbook_id: UUID) -> tuple[TransitionRow, ...]:
    """The version's life so far, oldest first; of a very long one the newest 200."""
    statement = _select(session).where(
        transactions.c.target_entity_id == playbook_id, transactions.c.transaction_status != "scheduled"
    )
    statement = statement.order_by(transactions.c.transaction_date.desc(), transactions.c.id.desc()).limit(MAX_HISTORY)
    return tuple(reversed(await _read(session, statement)))


async def list_scheduled(session: ReadSession, playbook_id: UUID) -> Sequence[TransitionRow]:
    """What waits for its time, the next one first."""
    statement = _select(session).where(
        transactions.c.target_entity_id == playbook_id, transactions.c.transaction_status == "scheduled"
    )
    return await _read(session, statement.order_by(transactions.c.transaction_date, transactions.c.id))


async def find_unfinished_transitions(
    session: RecoverySession, *, older_than: timedelta, limit: int
) -> tuple[UnfinishedTransition, ...]:
    """Transitions of all organizations that are due, or whose runs are still to be cancelled `older_than` ago."""
    table = transactions.c
    is_due = table.transaction_status == "scheduled"
    statement = (
        select(table.organization_id, table.id, table.transaction_status)
        .where(table.transaction_type == TRANSITION_TYPE, table.transaction_status.in_(("scheduled", "in_progress")))
        .where(table.transaction_date <= func.now())
        .where(or_(is_due, table.transaction_date <= func.now() - older_than))
        .order_by(table.transaction_date, table.id)
        .limit(limit)
    )
    found = (await session.connection.execute(statement)).mappings()
    return tuple(
        UnfinishedTransition(
            organization_id=row["organization_id"], id=row["id"], is_due=row["transaction_status"] == "scheduled"
        )
        for row in found
    )


async def _insert(
    session: WriteSession,
    row: PlaybookRow,
    identity: UUID,
    *,
    status: TransitionStatus,
    at: datetime,
    actor: Actor,
    facts: JsonObject,
) -> None:
    values: dict[str, Any] = {
        "id": identity,
        "organization_id": session.organization_id,
        "transaction_type": TRANSITION_TYPE,
        "transaction_status": status,
        "transaction_date": at,
        "target_entity_id": row.id,
        "smart_code": smart_codes.transition_code(row.industry, row.code, row.version),
        "metadata": facts,
        "created_at": datetime.now(UTC),
        "created_by": actor.id,
    }
    await session.connection.execute(insert(transactions).values(values))


def _facts(
    action: str, actor: Actor, reason: str | None, effective_date: datetime | None, notification: JsonObject | None
) -> JsonObject:
    return {
        "action": action,
        "reason": reason,
        "effective_date": json_columns.instant_to_json(effective_date),
        "actor": json_columns.actor_to_json(actor),
        "notification": notification,
    }


def _refuse_poison(reason: str | None, notification: JsonObject | None) -> None:
    refuse_poison("the reason", reason, "/reason")
    refuse_poison("the notification settings", notification, "/notification_settings")


def _is_transition(session: ReadSession) -> ColumnElement[bool]:
    """Another application may have transactions of this type; ours say which action they are."""
    mine = transactions.c.organization_id == session.organization_id
    return mine & (transactions.c.transaction_type == TRANSITION_TYPE) & transactions.c.metadata.has_key("action")


def _select(session: ReadSession) -> Select[*tuple[Any, ...]]:
    table = transactions.c
    return select(
        table.id,
        table.target_entity_id,
        table.transaction_status,
        table.transaction_date,
        table.created_at,
        table.metadata,
    ).where(_is_transition(session))


async def _read(session: ReadSession, statement: Select[*tuple[Any, ...]]) -> tuple[TransitionRow, ...]:
    return tuple(_transition(row) for row in (await session.connection.execute(statement)).mappings())


_PLAIN = {"action", "from_status", "to_status", "reason", "effective_date", "actor"}


def _transition(row: RowMapping) -> TransitionRow:
    facts = json_columns.as_object(row["metadata"])
    return TransitionRow(
        id=row["id"],
        playbook_id=row["target_entity_id"],
        status=cast("TransitionStatus", row["transaction_status"]),
        action=str(facts.get("action")),
        from_status=cast("PlaybookStatus", facts.get("from_status")),
        to_status=cast("PlaybookStatus", facts.get("to_status")),
        actor=json_columns.actor_from_json(facts.get("actor")),
        reason=json_columns.as_text(facts.get("reason")),
        at=row["transaction_date"],
        requested_at=row["created_at"],
        effective_date=json_columns.instant_from_json(facts.get("effective_date")),
        details={name: value for name, value in facts.items() if name not in _PLAIN},
    )

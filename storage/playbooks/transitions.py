"""Transitions of versions, performed and scheduled, as rows `PLAYBOOK_TRANSITION`.

`transaction_date` is when it took place, or is due. Invariant: a row that is completed, failed or cancelled never
changes again.

| status | meaning |
|---|---|
| scheduled | waits until it is due |
| in_progress | took place; runs that it cancels have not all ended |
| completed | took place |
| failed | was due, and was refused then |
| cancelled | was withdrawn before it was due |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeAlias, cast
from uuid import UUID, uuid4, uuid5

from pydantic import TypeAdapter
from sqlalchemy import ColumnElement, RowMapping, Select, func, insert, or_, select, update

from playbooks.common import smart_codes
from playbooks.common.errors import InvalidTransitionError, NotFoundError
from playbooks.common.values import Actor, Json, JsonObject
from playbooks.lifecycle.overrides import Override
from playbooks.lifecycle.transitions import Action, PlaybookStatus, next_status
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
class TransitionRequest:
    """A transition that a person asked for; with a future `effective_date` it is scheduled.

    `overrides`: warnings that the person takes on. `cancels_runs`: live runs are cancelled, where they would otherwise
    refuse the transition. `notification` is the request's `notification_settings`.
    """

    action: Action
    actor: Actor
    reason: str | None = None
    effective_date: datetime | None = None
    overrides: tuple[Override, ...] = ()
    cancels_runs: bool = False
    notification: JsonObject | None = None


_OVERRIDES = TypeAdapter(tuple[Override, ...])


@dataclass(frozen=True, slots=True, kw_only=True)
class TransitionRow:
    """One transition of a version: who moved it from where to where, when and why.

    `details` has the rest as JSON: `on_live_runs`, `overrides` as requested, `overridden` warnings, `revision`,
    `notification`, `side_effects`, `problems`, `cancelled`.
    """

    id: UUID
    playbook_id: UUID
    status: TransitionStatus
    action: Action
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
    """A transition that is due or whose runs are being cancelled, as the recovery role sees it."""

    organization_id: UUID
    id: UUID
    is_due: bool


async def transition(
    session: WriteSession,
    row: PlaybookRow,
    request: TransitionRequest,
    *,
    status: TransitionStatus = "completed",
    details: JsonObject | None = None,
    scheduled: TransitionRow | None = None,
) -> tuple[PlaybookRow, TransitionRow]:
    """Move a version and record who did it and why; a requested notification is stored undelivered.

    `scheduled` is the row that waited for this: it becomes the record. Raises NotFoundError, InvalidTransitionError
    when the version no longer has `row`'s status or has one without this action, ValidationError when a value cannot be
    stored.
    """
    _refuse_poison(request)
    to_status = next_status(row.status, request.action)
    held = await hold_version(session, row.id)
    if held.status != row.status:
        raise InvalidTransitionError(f"the playbook is {held.status} by now, not {row.status}")
    await session.connection.execute(
        update(entities)
        .where(entities.c.organization_id == session.organization_id, entities.c.id == row.id)
        .values(status=to_status, version=held.revision + 1, updated_by=request.actor.id, updated_at=func.now())
    )
    facts: JsonObject = {**(details or {}), "from_status": row.status, "to_status": to_status}
    if scheduled is None:
        identity = await _insert(session, row, request, status=status, at=datetime.now(UTC), facts=facts)
    else:
        identity = scheduled.id
        if not await settle(session, scheduled, status=status, details=facts):
            raise InvalidTransitionError("the transition is not scheduled any more")
    if request.notification is not None:
        data: JsonObject = {"action": request.action, "settings": request.notification}
        await notify(session, row, identity, "playbook_transition", data)
    return await get_version(session, row.id), await get_transition(session, row.id, identity)


async def schedule(
    session: WriteSession, row: PlaybookRow, request: TransitionRequest, *, from_status: PlaybookStatus
) -> TransitionRow:
    """Store a transition that waits until `effective_date`. The caller holds the version.

    `from_status` is the status that the version is expected to have then. Raises ValidationError when a value cannot be
    stored.
    """
    if request.effective_date is None:
        raise ValueError("a scheduled transition has a date")
    _refuse_poison(request)
    to_status = next_status(from_status, request.action)
    facts: JsonObject = {"revision": row.revision, "from_status": from_status, "to_status": to_status}
    identity = await _insert(session, row, request, status="scheduled", at=request.effective_date, facts=facts)
    return await get_transition(session, row.id, identity)


async def settle(
    session: WriteSession, found: TransitionRow, *, status: TransitionStatus, details: JsonObject | None = None
) -> bool:
    """Give an unfinished transition its next status, and add to its record. False where its status has changed."""
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
    """The transition with this id, of any version, or None."""
    statement = _select(session).where(transactions.c.id == identity)
    row = (await session.connection.execute(statement)).mappings().one_or_none()
    return None if row is None else _transition(row)


async def list_transitions(session: ReadSession, playbook_id: UUID) -> tuple[TransitionRow, ...]:
    """Transitions of the version that are not scheduled, oldest first; at most the newest 200."""
    statement = _select(session).where(
        transactions.c.target_entity_id == playbook_id, transactions.c.transaction_status != "scheduled"
    )
    statement = statement.order_by(transactions.c.transaction_date.desc(), transactions.c.id.desc()).limit(MAX_HISTORY)
    return tuple(reversed(await _read(session, statement)))


async def list_scheduled(session: ReadSession, playbook_id: UUID) -> Sequence[TransitionRow]:
    """Scheduled transitions of the version, the next one first."""
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
    request: TransitionRequest,
    *,
    status: TransitionStatus,
    at: datetime,
    facts: JsonObject,
) -> UUID:
    identity = uuid4()
    values: dict[str, Any] = {
        "id": identity,
        "organization_id": session.organization_id,
        "transaction_type": TRANSITION_TYPE,
        "transaction_status": status,
        "transaction_date": at,
        "target_entity_id": row.id,
        "smart_code": smart_codes.transition_code(row.industry, row.code, row.version),
        "metadata": {**_request_to_json(request), **facts},
        "created_at": datetime.now(UTC),
        "created_by": request.actor.id,
    }
    await session.connection.execute(insert(transactions).values(values))
    return identity


def _request_to_json(request: TransitionRequest) -> JsonObject:
    return {
        "action": request.action,
        "reason": request.reason,
        "effective_date": json_columns.instant_to_json(request.effective_date),
        "actor": json_columns.actor_to_json(request.actor),
        "notification": request.notification,
        "on_live_runs": "cancel" if request.cancels_runs else "refuse",
        "overrides": [asdict(override) for override in request.overrides],
    }


def request_of(row: TransitionRow) -> TransitionRequest:
    """Return the request that the row was made for. Raises ValueError for a row without an actor."""
    if row.actor is None:
        raise ValueError("a transition has no actor")
    notification = row.details.get("notification")
    return TransitionRequest(
        action=row.action,
        actor=row.actor,
        reason=row.reason,
        effective_date=row.effective_date,
        overrides=_OVERRIDES.validate_python(row.details.get("overrides") or []),
        cancels_runs=row.details.get("on_live_runs") == "cancel",
        notification=notification if isinstance(notification, dict) else None,
    )


def _refuse_poison(request: TransitionRequest) -> None:
    refuse_poison("the reason", request.reason, "/reason")
    refuse_poison("the notification settings", request.notification, "/notification_settings")


def _is_transition(session: ReadSession) -> ColumnElement[bool]:
    """The condition that a transaction is ours: another application's of this type have no action."""
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
        action=cast("Action", facts.get("action")),
        from_status=cast("PlaybookStatus", facts.get("from_status")),
        to_status=cast("PlaybookStatus", facts.get("to_status")),
        actor=json_columns.actor_from_json(facts.get("actor")),
        reason=json_columns.as_text(facts.get("reason")),
        at=row["transaction_date"],
        requested_at=row["created_at"],
        effective_date=json_columns.instant_from_json(facts.get("effective_date")),
        details={name: value for name, value in facts.items() if name not in _PLAIN},
    )

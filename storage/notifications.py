"""Notifications as transactions: recorded once under their key, undelivered until delivery is built.

Owns rows `PLAYBOOK_NOTIFICATION`. Must not know channels. Invariant: one row for each key, however often it is written.
"""

from __future__ import annotations

from uuid import UUID, uuid5

from sqlalchemy.dialects.postgresql import insert

from playbooks import smart_codes
from playbooks.messages import NotificationCall
from playbooks.values import JsonObject
from storage import shapes
from storage.database import WriteSession
from storage.payloads import industry_of_run
from storage.poison import Quarantine
from storage.tables import transactions

NOTIFICATION_TYPE = "PLAYBOOK_NOTIFICATION"


async def record_notification(session: WriteSession, call: NotificationCall) -> UUID:
    """Record a run's notification and return its id. Raises NotFoundError when there is no such run here."""
    industry = await industry_of_run(session, call.execution_id)
    identity = uuid5(call.execution_id, f"notification:{call.key}")
    await insert_notification(
        session,
        identity,
        industry=industry,
        playbook_id=call.playbook_id,
        kind=call.kind,
        key=call.key,
        data={**call.data, "execution_id": str(call.execution_id)},
    )
    return identity


async def insert_notification(
    session: WriteSession,
    identity: UUID,
    *,
    industry: str,
    playbook_id: UUID,
    kind: str,
    key: str,
    data: JsonObject,
) -> None:
    """Insert the notification unless it is there. What cannot be stored is left out of `data`."""
    quarantine = Quarantine()
    body = shapes.as_object(quarantine.take("notification.data", data))
    statement = insert(transactions).values(
        id=identity,
        organization_id=session.organization_id,
        transaction_type=NOTIFICATION_TYPE,
        transaction_status="undelivered",
        target_entity_id=playbook_id,
        reference_number=quarantine.take_text("notification.key", key),
        smart_code=smart_codes.build(industry, "NOTIFICATION", kind),
        metadata={"kind": quarantine.take_text("notification.kind", kind), "data": body},
    )
    await session.connection.execute(statement.on_conflict_do_nothing(index_elements=["id"]))

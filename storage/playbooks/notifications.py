"""Notifications as transactions `PLAYBOOK_NOTIFICATION`: one row for each key, undelivered until delivery is built."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy.dialects.postgresql import insert

from playbooks.common import smart_codes
from playbooks.common.values import JsonObject
from storage.database import json_columns
from storage.database.quarantine import Quarantine
from storage.database.sessions import WriteSession
from storage.database.tables import transactions

NOTIFICATION_TYPE = "PLAYBOOK_NOTIFICATION"


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
    """Insert the notification unless it exists. Values that cannot be stored are left out."""
    quarantine = Quarantine()
    body = json_columns.as_object(quarantine.take("notification.data", data))
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

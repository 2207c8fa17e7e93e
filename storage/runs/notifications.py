"""Notifications of a run, recorded once under their key."""

from __future__ import annotations

from uuid import UUID, uuid5

from playbooks.engine.model.temporal_messages import NotificationCall
from storage.database.sessions import WriteSession
from storage.playbooks.notifications import insert_notification
from storage.runs.payloads import industry_of_run


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

"""Users of an organization: an entity each, inserted at their first write.

Roles and permissions are not stored: they come from the token of each request.
"""

from __future__ import annotations

from sqlalchemy.dialects.postgresql import insert

from playbooks.common import smart_codes
from playbooks.common.values import Actor
from storage.database.quarantine import refuse_poison
from storage.database.sessions import WriteSession
from storage.database.tables import entities

USER_TYPE = "user"
_CODE = smart_codes.build("SYSTEM", "USER", "PERSON")


async def ensure_user(session: WriteSession, actor: Actor) -> None:
    """Insert the actor's entity unless it exists; an existing one, also another application's, is not changed.

    Raises ValidationError when the name cannot be stored.
    """
    refuse_poison("the name", actor.name)
    statement = insert(entities).values(
        id=actor.id,
        organization_id=session.organization_id,
        entity_type=USER_TYPE,
        entity_name=actor.name,
        entity_code=str(actor.id),
        smart_code=_CODE,
        smart_code_status="ACTIVE",
        metadata={"via": actor.via},
        created_by=actor.id,
        updated_by=actor.id,
    )
    await session.connection.execute(statement.on_conflict_do_nothing())

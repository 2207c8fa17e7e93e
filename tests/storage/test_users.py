"""People's entities: made at the first write, and never changed by us after that."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from playbooks.common.errors import ValidationError
from playbooks.common.values import Actor
from storage.database.sessions import Database
from storage.database.tables import entities
from storage.identity.users import ensure_user
from tests.conftest import MakeOrganization
from tests.storage.raw import add_entity, connected


async def _names(database: Database, organization_id: UUID) -> list[str]:
    async with database.reading(organization_id) as session:
        found = await session.connection.execute(select(entities.c.entity_name))
        return list(found.scalars())


async def test_user_is_made_once_and_keeps_the_first_name(database: Database, organization_id: UUID) -> None:
    actor = Actor(id=uuid4(), name="Anna")
    async with database.writing(organization_id) as session:
        await ensure_user(session, actor)
        await ensure_user(session, replace(actor, name="Other"))
    assert await _names(database, organization_id) == ["Anna"]


async def test_other_applications_entity_is_left_alone_when_ids_meet(
    database: Database, organization_id: UUID, admin_database_url: str
) -> None:
    async with connected(admin_database_url) as admin:
        theirs = await add_entity(admin, organization_id, "user")
    async with database.writing(organization_id) as session:
        await ensure_user(session, Actor(id=theirs, name="Anna"))
    assert await _names(database, organization_id) == ["Thing"]


async def test_same_person_in_two_organizations_blocks_neither(
    database: Database, new_organization: MakeOrganization
) -> None:
    actor = Actor(id=uuid4(), name="Anna")
    for organization_id in (await new_organization("first"), await new_organization("second")):
        async with database.writing(organization_id) as session:
            await ensure_user(session, actor)


async def test_user_is_refused_when_name_cannot_be_stored(database: Database, organization_id: UUID) -> None:
    with pytest.raises(ValidationError):
        async with database.writing(organization_id) as session:
            await ensure_user(session, Actor(id=uuid4(), name="\x00"))

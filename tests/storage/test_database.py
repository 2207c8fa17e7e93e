"""Sessions: one organization each, committed or not, and what a database that is away looks like."""

from __future__ import annotations

import asyncio
from random import Random
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, insert, make_url, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from cli.servers.ports import any_free_port
from playbooks.common.errors import AlreadyExistsError, ServiceUnavailableError, ValidationError
from storage.database.sessions import Database, ReadSession, WriteSession, asyncpg_url
from storage.database.tables import entities
from storage.identity.organizations import create_organization, find_organization, own_organization
from tests.chaos.proxy import Proxy
from tests.conftest import MakeOrganization
from tests.support.waiting import holds


def _entity(organization_id: UUID) -> dict[str, object]:
    return {
        "organization_id": organization_id,
        "entity_type": "thing",
        "entity_name": "Thing",
        "smart_code": "HERA.TEST.PLAYBOOK.DEF.ROW.V1",
    }


async def _count(database: Database, organization_id: UUID) -> int:
    async with database.reading(organization_id) as session:
        return (await session.connection.execute(select(func.count()).select_from(entities))).scalar_one()


async def test_work_is_kept_when_block_ends_and_lost_when_it_raises(database: Database, organization_id: UUID) -> None:
    async with database.writing(organization_id) as session:
        assert isinstance(session, WriteSession)
        assert isinstance(session, ReadSession)
        await session.connection.execute(insert(entities).values(**_entity(organization_id)))
    assert await _count(database, organization_id) == 1
    with pytest.raises(ZeroDivisionError):
        async with database.writing(organization_id) as session:
            await session.connection.execute(insert(entities).values(**_entity(organization_id)))
            raise ZeroDivisionError
    assert await _count(database, organization_id) == 1


async def test_pooled_connection_forgets_the_organization(
    database_url: str, admin_database_url: str, organization_id: UUID
) -> None:
    database = Database.connect(database_url, pool_size=1)
    async with database.writing(organization_id) as session:
        await session.connection.execute(insert(entities).values(**_entity(organization_id)))
    assert await _count(database, uuid4()) == 0
    async with database.recovering() as session:
        setting = await session.connection.execute(text("SELECT current_setting('app.current_org', true)"))
        assert setting.scalar_one() in (None, "")
    await database.close()


async def test_reading_session_cannot_write(database: Database, organization_id: UUID) -> None:
    with pytest.raises(DBAPIError):
        async with database.reading(organization_id) as session:
            await session.connection.execute(insert(entities).values(**_entity(organization_id)))


async def test_reading_session_sees_one_moment_when_rows_change_meanwhile(
    database: Database, organization_id: UUID
) -> None:
    count = select(func.count()).select_from(entities)
    async with database.reading(organization_id) as reading:
        assert (await reading.connection.execute(count)).scalar_one() == 0
        async with database.writing(organization_id) as session:
            await session.connection.execute(insert(entities).values(**_entity(organization_id)))
        assert (await reading.connection.execute(count)).scalar_one() == 0
    assert await _count(database, organization_id) == 1


async def test_recovering_session_acts_as_the_recovery_role(database: Database) -> None:
    async with database.recovering() as session:
        assert (await session.connection.execute(text("SELECT current_user"))).scalar_one() == "playbook_recovery"
    async with database.reading(uuid4()) as session:
        assert (await session.connection.execute(text("SELECT current_user"))).scalar_one() == "playbook_service"


async def test_database_is_unavailable_when_nothing_listens() -> None:
    database = Database.connect(f"postgresql://playbook_service@127.0.0.1:{any_free_port()}/nothing")
    for use in (database.ping(), _count(database, uuid4())):
        with pytest.raises(ServiceUnavailableError):
            await use
    await database.close()


async def test_session_is_unavailable_when_server_cuts_it_off(
    database_url: str, admin_database_url: str, organization_id: UUID
) -> None:
    from tests.storage.raw import connected

    database = Database.connect(database_url, pool_size=1)
    with pytest.raises(ServiceUnavailableError):
        async with database.reading(organization_id) as session:
            pid = (await session.connection.execute(text("SELECT pg_backend_pid()"))).scalar_one()
            async with connected(admin_database_url) as admin:
                await admin.execute("SELECT pg_terminate_backend($1)", pid)
            await session.connection.execute(text("SELECT 1"))
    await database.ping()
    await database.close()


async def test_clients_mistake_is_not_unavailability(database: Database, organization_id: UUID) -> None:
    with pytest.raises(IntegrityError):
        async with database.writing(organization_id) as session:
            await session.connection.execute(
                insert(entities).values(**{**_entity(organization_id), "parent_entity_id": uuid4()})
            )


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+asyncpg"])
def test_url_is_normalized_when_scheme_or_sslmode_is_libpqs(scheme: str) -> None:
    url = asyncpg_url(f"{scheme}://u:p%40ss@host:5433/db?sslmode=require")
    assert (url.drivername, url.password, url.port, dict(url.query)) == (
        "postgresql+asyncpg",
        "p@ss",
        5433,
        {"ssl": "require"},
    )


async def test_organization_is_found_by_code_and_seen_from_inside_only(
    admin_database_url: str, database: Database, new_organization: MakeOrganization
) -> None:
    code = f"code-{uuid4().hex[:8]}"
    made = await create_organization(admin_database_url, code=code, name="Made")
    assert await find_organization(admin_database_url, code) == made
    assert await find_organization(admin_database_url, "nobody") is None
    async with database.reading(made.id) as session:
        assert await own_organization(session) == made
    async with database.reading(uuid4()) as session:
        assert await own_organization(session) is None
    with pytest.raises(AlreadyExistsError):
        await create_organization(admin_database_url, code=code, name="Again")


@pytest.mark.parametrize("bad", ["nul\x00", "half\ud800"])
async def test_value_is_refused_when_no_column_can_hold_it(database: Database, organization_id: UUID, bad: str) -> None:
    with pytest.raises(ValidationError):
        async with database.reading(organization_id) as session:
            await session.connection.execute(select(entities.c.id).where(entities.c.entity_code == bad))


async def test_organization_is_found_once_the_server_is_up_and_the_reason_is_named_when_it_stays_away(
    admin_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = make_url(admin_database_url)
    port = any_free_port()
    late_url = server.set(host="127.0.0.1", port=port, query={}).render_as_string(hide_password=False)
    monkeypatch.setattr("storage.identity.organizations._PATIENCE_SECONDS", 0.3)
    with pytest.raises(ServiceUnavailableError, match=r"the database is away: .+"):
        await find_organization(late_url, "nobody")
    monkeypatch.setattr("storage.identity.organizations._PATIENCE_SECONDS", 10)
    waiting = asyncio.create_task(find_organization(late_url, "nobody"))
    await holds(lambda: not waiting.done(), 0.5)
    assert server.port is not None
    proxy = Proxy(server.port, Random(0))
    proxy.start(port)
    try:
        assert await waiting is None
    finally:
        proxy.stop()

"""Migrating with an admin who is no superuser, as hosted databases have it."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

from cli.servers.postgres import create_database
from storage.database.migrate import upgrade
from storage.database.sessions import Database
from storage.identity.organizations import create_organization, find_organization, own_organization
from tests.storage.raw import add_entity, connected, inside
from tests.support import servers


async def test_plain_admin_migrates_and_makes_organizations(server_folder: Path) -> None:
    folder = server_folder / f"plain-{uuid4().hex[:8]}"
    folder.mkdir()
    folder.chmod(0o711)
    # A cluster of its own: roles are the cluster's, and here nobody made them before.
    with servers.running_postgres(folder) as server:
        superuser_url = create_database(server, "hosted")
        async with connected(superuser_url) as superuser:
            await superuser.execute("CREATE ROLE hosted LOGIN CREATEROLE PASSWORD 'hosted'")
            await superuser.execute("ALTER DATABASE hosted OWNER TO hosted")
        admin_url = server.url("hosted", "hosted", "hosted")
        for _ in range(2):
            upgrade(admin_url, servers.SERVICE_PASSWORD)
        made = await create_organization(admin_url, code="plain", name="Plain")
        assert await find_organization(admin_url, "plain") == made
        service_url = server.url("playbook_service", servers.SERVICE_PASSWORD, "hosted")
        database = Database.connect(service_url)
        async with database.reading(made.id) as session:
            assert await own_organization(session) == made
        async with database.recovering() as session:
            assert session.connection is not None
        await database.close()
        async with inside(service_url, made.id) as service:
            await add_entity(service, made.id)
            assert await service.fetchval("SELECT count(*) FROM core_entities") == 1
        async with inside(service_url, uuid4()) as service:
            assert await service.fetchval("SELECT count(*) FROM core_organizations") == 0

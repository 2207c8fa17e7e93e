"""Tables that were there before us, with another application's role, rows and policies."""

from __future__ import annotations

import logging
from uuid import UUID, uuid4

import asyncpg
import pytest

from cli.servers.postgres import PostgresServer
from storage.database.migrate import upgrade
from storage.database.migrations.ddl import TABLES
from tests.storage.raw import add_entity, connected, inside
from tests.support import servers

OTHER = "other_application"
PASSWORD = "other-password"  # a test's own role


async def _make_tables(admin_url: str, *, statements: tuple[str, ...] = (), without_keys: bool = False) -> UUID:
    """The six tables as another application made them, one organization with an entity, and a role that uses them."""
    async with connected(admin_url) as admin:
        await admin.execute(
            f"DO $$ BEGIN CREATE ROLE {OTHER} LOGIN PASSWORD '{PASSWORD}';"
            " EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
        )
        for ddl in TABLES.values():
            plain = ddl.replace("UNIQUE (organization_id, entity_id, field_name)", "CHECK (true)")
            plain = plain.replace("UNIQUE (transaction_id, line_number)", "CHECK (true)")
            await admin.execute(plain if without_keys else ddl)
        await admin.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {OTHER}")
        organization = uuid4()
        await admin.execute(
            "INSERT INTO core_organizations (id, organization_name, organization_code) VALUES ($1, 'Old', 'OLD')",
            organization,
        )
        await add_entity(admin, organization, "customer")
        for statement in statements:
            await admin.execute(statement)
    return organization


def _other_url(postgres: PostgresServer, admin_url: str) -> str:
    return postgres.url(OTHER, PASSWORD, admin_url.rsplit("/", 1)[1])


async def _seen_by_other(url: str) -> list[tuple[object, ...]]:
    async with connected(url) as other:
        rows = await other.fetch("SELECT id, organization_id, entity_type FROM core_entities ORDER BY id")
        return [tuple(row) for row in rows]


async def test_other_application_sees_and_writes_as_before_when_security_was_off(
    empty_database_url: str, postgres: PostgresServer
) -> None:
    organization = await _make_tables(empty_database_url)
    other_url = _other_url(postgres, empty_database_url)
    before = await _seen_by_other(other_url)
    upgrade(empty_database_url, servers.SERVICE_PASSWORD)
    assert before == await _seen_by_other(other_url) != []
    async with connected(other_url) as other:
        await add_entity(other, organization, "invoice")
        assert await other.execute("DELETE FROM core_entities WHERE entity_type = 'invoice'") == "DELETE 1"


async def test_service_sees_one_organization_when_pass_through_stands_beside(
    empty_database_url: str, postgres: PostgresServer
) -> None:
    organization = await _make_tables(empty_database_url)
    upgrade(empty_database_url, servers.SERVICE_PASSWORD)
    service_url = servers.service_url(postgres, empty_database_url)
    for setting, count in ((None, 0), ("", 0), (uuid4(), 0), (organization, 1)):
        async with inside(service_url, setting) as service:
            assert await service.fetchval("SELECT count(*) FROM core_entities") == count
            assert await service.fetchval("SELECT count(*) FROM core_organizations") == count
    async with inside(service_url, uuid4()) as service:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await add_entity(service, organization)


async def test_found_tables_keep_owner_and_are_not_forced(empty_database_url: str) -> None:
    await _make_tables(empty_database_url)
    upgrade(empty_database_url, servers.SERVICE_PASSWORD)
    async with connected(empty_database_url) as admin:
        rows = await admin.fetch(
            "SELECT relname, relowner::regrole::text, relrowsecurity, relforcerowsecurity FROM pg_class"
            " WHERE relname = ANY ($1)",
            list(TABLES),
        )
    assert {tuple(row) for row in rows} == {(table, "postgres", True, False) for table in TABLES}


async def test_isolation_of_other_application_stays_closed_when_security_was_on(
    empty_database_url: str, postgres: PostgresServer
) -> None:
    tenant = "organization_id = nullif(current_setting('other.tenant', true), '')::uuid"
    organization = await _make_tables(
        empty_database_url,
        statements=(
            "ALTER TABLE core_entities ENABLE ROW LEVEL SECURITY",
            f"CREATE POLICY theirs ON core_entities USING ({tenant})",
        ),
    )
    upgrade(empty_database_url, servers.SERVICE_PASSWORD)
    other_url = _other_url(postgres, empty_database_url)
    assert await _seen_by_other(other_url) == []
    async with connected(other_url) as other:
        await other.execute("SELECT set_config('other.tenant', $1, false)", str(organization))
        assert await other.fetchval("SELECT count(*) FROM core_entities") == 1
    service_url = servers.service_url(postgres, empty_database_url)
    async with inside(service_url, uuid4()) as service:
        # Their permissive policy names everybody: only our restrictive one keeps it from widening ours.
        await service.execute("SELECT set_config('other.tenant', $1, true)", str(organization))
        assert await service.fetchval("SELECT count(*) FROM core_entities") == 0
    async with inside(service_url, organization) as service:
        assert await service.fetchval("SELECT count(*) FROM core_entities") == 1


async def test_operator_is_warned_when_a_restrictive_policy_names_everybody(
    empty_database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    await _make_tables(
        empty_database_url,
        statements=(
            "ALTER TABLE core_entities ENABLE ROW LEVEL SECURITY",
            "CREATE POLICY narrow ON core_entities AS RESTRICTIVE USING (entity_type <> 'secret')",
        ),
    )
    with caplog.at_level(logging.WARNING):
        upgrade(empty_database_url, servers.SERVICE_PASSWORD)
    assert [record.args for record in caplog.records if "narrow" in record.getMessage()] != []


async def test_unique_keys_are_added_when_found_tables_lack_them(empty_database_url: str) -> None:
    await _make_tables(empty_database_url, without_keys=True)
    upgrade(empty_database_url, servers.SERVICE_PASSWORD)
    async with connected(empty_database_url) as admin:
        keys = {row[0] for row in await admin.fetch("SELECT indexname FROM pg_indexes WHERE indexname LIKE '%_key'")}
    assert {"playbook_core_dynamic_data_key", "playbook_universal_transaction_lines_key"} <= keys
    assert "playbook_core_organizations_key" not in keys


async def test_found_tables_get_the_indexes_that_made_ones_have(
    empty_database_url: str, admin_database_url: str
) -> None:
    await _make_tables(empty_database_url)
    upgrade(empty_database_url, servers.SERVICE_PASSWORD)
    query = "SELECT indexdef FROM pg_indexes WHERE indexname LIKE 'playbook\\_%'"
    async with connected(empty_database_url) as found, connected(admin_database_url) as made:
        indexes = [{row[0] for row in await admin.fetch(query)} for admin in (found, made)]
    assert indexes[0] == indexes[1]
    assert len(indexes[0]) > 15


async def test_missing_tables_are_made_beside_found_ones(empty_database_url: str, postgres: PostgresServer) -> None:
    async with connected(empty_database_url) as admin:
        for table in ("core_organizations", "core_entities"):
            await admin.execute(TABLES[table])
    upgrade(empty_database_url, servers.SERVICE_PASSWORD)
    async with connected(empty_database_url) as admin:
        owners = dict(
            await admin.fetch(
                "SELECT relname, relowner::regrole::text FROM pg_class WHERE relname = ANY ($1)", list(TABLES)
            )
        )
    assert owners["core_entities"] == "postgres"
    assert owners["universal_transactions"] == "playbook_owner"


async def test_upgrade_refuses_when_found_table_lacks_a_column(empty_database_url: str) -> None:
    from playbooks.common.errors import PlaybooksError

    await _make_tables(
        empty_database_url, statements=("ALTER TABLE universal_transaction_lines DROP COLUMN line_data",)
    )
    with pytest.raises(PlaybooksError) as refused:
        upgrade(empty_database_url, servers.SERVICE_PASSWORD)
    assert "line_data" in refused.value.detail
    async with connected(empty_database_url) as admin:
        assert not await admin.fetchval("SELECT relrowsecurity FROM pg_class WHERE relname = 'core_entities'")

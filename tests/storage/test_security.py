"""Row-level security on tables that we made: who sees what, asked with plain SQL."""

from __future__ import annotations

from uuid import UUID

import asyncpg
import pytest

from storage.database.roles import UnsafeRoleError
from storage.database.sessions import Database
from storage.database.tables import metadata
from tests.conftest import MakeOrganization
from tests.storage.raw import add_entity, add_line, add_transaction, connected, inside

TABLES = [table.name for table in metadata.sorted_tables]


@pytest.mark.parametrize("setting", [None, "", "0b6a7f0e-3c55-4a41-9a3e-5f2d1c0b9a87"])
@pytest.mark.parametrize("table", TABLES)
async def test_service_sees_nothing_when_organization_is_unset_or_unknown(
    admin_database_url: str, database_url: str, organization_id: UUID, table: str, setting: str | None
) -> None:
    async with connected(admin_database_url) as admin:
        await _fill(admin, organization_id)
        assert await admin.fetchval(f"SELECT count(*) FROM {table}") > 0
    async with inside(database_url, setting) as service:
        assert await service.fetchval(f"SELECT count(*) FROM {table}") == 0


async def test_service_sees_own_rows_only_when_organization_is_set(
    admin_database_url: str, database_url: str, new_organization: MakeOrganization
) -> None:
    mine, theirs = await new_organization("mine"), await new_organization("theirs")
    async with connected(admin_database_url) as admin:
        await _fill(admin, mine)
        await _fill(admin, theirs)
    async with inside(database_url, mine) as service:
        for table in TABLES:
            key = "id" if table == "core_organizations" else "organization_id"
            seen = {row[0] for row in await service.fetch(f"SELECT DISTINCT {key} FROM {table}")}
            assert seen == {mine}, table
            assert await service.fetch(f"SELECT 1 FROM {table} WHERE {key} = $1", theirs) == []


async def test_service_changes_nothing_when_row_is_anothers(
    admin_database_url: str, database_url: str, new_organization: MakeOrganization
) -> None:
    mine, theirs = await new_organization("mine"), await new_organization("theirs")
    async with connected(admin_database_url) as admin:
        entity = await add_entity(admin, theirs)
    async with inside(database_url, mine) as service:
        assert await service.execute("UPDATE core_entities SET entity_name = 'x' WHERE id = $1", entity) == "UPDATE 0"
        assert await service.execute("DELETE FROM core_entities WHERE id = $1", entity) == "DELETE 0"
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await add_entity(service, theirs)


async def test_row_stays_when_service_tries_to_move_it_to_another_organization(
    database_url: str, new_organization: MakeOrganization
) -> None:
    mine, theirs = await new_organization("mine"), await new_organization("theirs")
    async with inside(database_url, mine) as service:
        entity = await add_entity(service, mine)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await service.execute("UPDATE core_entities SET organization_id = $1 WHERE id = $2", theirs, entity)


async def test_event_stays_when_service_tries_to_change_it(database_url: str, organization_id: UUID) -> None:
    async with inside(database_url, organization_id) as service:
        run = await add_transaction(service, organization_id)
        event = await add_line(service, organization_id, run, 1_000_001, "run_event")
        label = await add_line(service, organization_id, run, 900_001, "run_label")
        for line, count in ((event, 0), (label, 1)):
            change = "UPDATE universal_transaction_lines SET description = 'x' WHERE id = $1"
            assert await service.execute(change, line) == f"UPDATE {count}"
            assert (
                await service.execute("DELETE FROM universal_transaction_lines WHERE id = $1", line)
                == f"DELETE {count}"
            )


async def test_recovery_sees_unfinished_runs_and_transitions_of_all_organizations_and_nothing_else(
    admin_database_url: str, database_url: str, database: Database, new_organization: MakeOrganization
) -> None:
    first, second = await new_organization("first"), await new_organization("second")
    async with connected(admin_database_url) as admin:
        unfinished = [
            await add_transaction(admin, organization, status=status)
            for organization in (first, second)
            for status in ("queued", "in_progress", "paused")
        ]
        unfinished += [
            await add_transaction(admin, organization, "PLAYBOOK_TRANSITION", status)
            for organization in (first, second)
            for status in ("scheduled", "in_progress")
        ]
        hidden = {
            await add_transaction(admin, first, kind, status)
            for kind, status in (
                ("PLAYBOOK_RUN", "completed"),
                ("PLAYBOOK_RUN", "scheduled"),
                ("PLAYBOOK_TRANSITION", "completed"),
                ("PLAYBOOK_TRANSITION", "failed"),
                ("PLAYBOOK_TRANSITION", "cancelled"),
                ("PLAYBOOK_TRANSITION", "queued"),
                ("PLAYBOOK_NOTIFICATION", "scheduled"),
                ("INVOICE", "queued"),
                ("INVOICE", "scheduled"),
            )
        }
    async with inside(database_url, None) as service:
        await service.execute("SET LOCAL ROLE playbook_recovery")
        seen = {row["id"] for row in await service.fetch("SELECT id FROM universal_transactions")}
        assert set(unfinished) <= seen
        assert not hidden & seen
        for statement in ("SELECT metadata FROM universal_transactions", "SELECT 1 FROM core_entities"):
            async with connected(database_url) as fresh:
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await fresh.execute(f"BEGIN; SET LOCAL ROLE playbook_recovery; {statement}")


async def test_service_does_not_inherit_what_recovery_sees(
    admin_database_url: str, database_url: str, organization_id: UUID
) -> None:
    async with connected(admin_database_url) as admin:
        await add_transaction(admin, organization_id)
    async with inside(database_url, None) as service:
        assert await service.fetchval("SELECT count(*) FROM universal_transactions") == 0


async def test_service_owns_nothing_and_cannot_bypass(admin_database_url: str) -> None:
    async with connected(admin_database_url) as admin:
        role = await admin.fetchrow("SELECT * FROM pg_roles WHERE rolname = 'playbook_service'")
        assert (role["rolsuper"], role["rolbypassrls"], role["rolcreaterole"]) == (False, False, False)
        owned = "SELECT relname, relowner::regrole::text, relforcerowsecurity FROM pg_class WHERE relname = ANY ($1)"
        rows = await admin.fetch(owned, TABLES)
        assert {tuple(row) for row in rows} == {(table, "playbook_owner", True) for table in TABLES}


async def test_database_refuses_when_its_role_can_bypass_security(admin_database_url: str) -> None:
    database = Database.connect(admin_database_url)
    with pytest.raises(UnsafeRoleError):
        await database.ping()
    await database.close()


async def _fill(connection: asyncpg.Connection, organization_id: UUID) -> None:
    first, second = await add_entity(connection, organization_id), await add_entity(connection, organization_id)
    await connection.execute(
        "INSERT INTO core_relationships"
        " (organization_id, from_entity_id, to_entity_id, relationship_type, smart_code)"
        " VALUES ($1, $2, $3, 'x', 'HERA.TEST.PLAYBOOK.STEP.REL.V1')",
        organization_id,
        first,
        second,
    )
    await connection.execute(
        "INSERT INTO core_dynamic_data (organization_id, entity_id, field_name, smart_code)"
        " VALUES ($1, $2, 'x', 'HERA.TEST.PLAYBOOK.STEP.REL.V1')",
        organization_id,
        first,
    )
    run = await add_transaction(connection, organization_id)
    await add_line(connection, organization_id, run, 1)

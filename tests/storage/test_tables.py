"""The tables that a migration makes: columns, and what a HERA database enforces on its own."""

from __future__ import annotations

import re
from concurrent.futures import ProcessPoolExecutor
from decimal import Decimal
from multiprocessing import get_context
from random import Random
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from sqlalchemy.dialects import postgresql

from cli.servers.postgres import PostgresServer
from storage.database.migrate import upgrade
from storage.database.tables import metadata
from tests.storage.raw import add_entity, add_line, add_transaction, connected
from tests.support import servers


async def test_columns_are_the_universal_ones_and_no_others(admin_database_url: str) -> None:
    dialect = postgresql.dialect()
    async with connected(admin_database_url) as admin:
        rows = await admin.fetch(
            "SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull, a.atthasdef"
            " FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
            " WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0"
            " AND NOT a.attisdropped AND c.relname <> 'playbook_alembic_version'"
        )
    found = {
        (row["relname"], row["attname"]): (_plain(row["type"]), row["attnotnull"], row["atthasdef"]) for row in rows
    }
    expected: dict[tuple[str, str], tuple[str, bool, bool]] = {
        (table.name, column.name): (
            _plain(column.type.compile(dialect)),
            not column.nullable,
            column.server_default is not None,
        )
        for table in metadata.sorted_tables
        for column in table.columns
    }
    assert found == expected


def _plain(kind: str) -> str:
    names = {"timestamp with time zone": "timestamptz", "character varying": "varchar", "character": "char"}
    text = kind.lower().replace(", ", ",")
    for long, short in names.items():
        text = text.replace(long, short)
    return text


async def test_upgrade_changes_nothing_when_it_runs_again_or_twice_at_once(
    empty_database_url: str, postgres: PostgresServer
) -> None:
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        for done in [pool.submit(upgrade, empty_database_url, servers.SERVICE_PASSWORD) for _ in range(2)]:
            done.result()
    upgrade(empty_database_url, None)
    async with connected(empty_database_url) as admin:
        assert await admin.fetchval("SELECT count(*) FROM playbook_alembic_version") == 1
    async with connected(servers.service_url(postgres, empty_database_url)) as service:
        assert await service.fetchval("SELECT count(*) FROM core_entities") == 0


async def test_transaction_type_is_upper_case_when_written_in_lower_case(
    admin_database_url: str, organization_id: UUID
) -> None:
    async with connected(admin_database_url) as admin:
        row = await add_transaction(admin, organization_id, "invoice")
        assert await admin.fetchval("SELECT transaction_type FROM universal_transactions WHERE id = $1", row) == (
            "INVOICE"
        )


async def test_total_amount_follows_the_lines(admin_database_url: str, organization_id: UUID) -> None:
    async with connected(admin_database_url) as admin:
        run = await add_transaction(admin, organization_id)
        other = await add_transaction(admin, organization_id)
        await admin.execute("UPDATE universal_transactions SET total_amount = 9 WHERE id = $1", other)
        await add_line(admin, organization_id, other, 1)
        first = await add_line(admin, organization_id, run, 1, amount=25)
        await add_line(admin, organization_id, run, 2, amount=8)
        assert await _total(admin, run) == 33
        await admin.execute("UPDATE universal_transaction_lines SET line_amount = 2 WHERE id = $1", first)
        assert await _total(admin, run) == 10
        await admin.execute("DELETE FROM universal_transaction_lines WHERE id = $1", first)
        assert await _total(admin, run) == 8
        assert await _total(admin, other) == 9


async def test_row_is_refused_when_smart_code_is_malformed(admin_database_url: str, organization_id: UUID) -> None:
    async with connected(admin_database_url) as admin:
        with pytest.raises(asyncpg.CheckViolationError):
            await admin.execute(
                "INSERT INTO core_entities (organization_id, entity_type, entity_name, smart_code)"
                " VALUES ($1, 'x', 'x', 'HERA.ABC.X.Y1.Z1.V1')",
                organization_id,
            )


def _codes() -> list[str]:
    """Codes around every bound of the pattern, and mutations of them."""
    lengths = (0, 1, 2, 3, 29, 30, 31, 39, 40, 41)
    codes = [f"HERA.{'I' * industry}.AB.CD.EF.V1" for industry in lengths]
    codes += [f"HERA.ABC.{'N' * name}.CD.EF.V1" for name in lengths]
    codes += [f"HERA.ABC.AB.CD.{'N' * name}.V1" for name in lengths]
    codes += ["HERA.ABC" + ".SE" * count + ".V12" for count in range(12)]
    good = "HERA.TEST.PLAYBOOK.STEP_1.EXEC.V10"
    random = Random(7)
    for _ in range(400):
        at = random.randrange(len(good))
        codes.append(good[:at] + random.choice(["", ".", "..", "_", "a", "-", " ", "é", "V", "\n"]) + good[at + 1 :])
    return [*codes, good, good.lower(), good + "\n", good + ".V1", good.replace("V10", "V"), "V1", ".", ""]


async def test_check_of_smart_codes_equals_the_pattern(admin_database_url: str) -> None:
    pattern = re.compile(r"HERA\.[A-Z0-9_]{3,30}(\.[A-Z0-9_]{2,40}){3,8}\.V[0-9]+", re.ASCII | re.IGNORECASE)
    async with connected(admin_database_url) as admin:
        rule = await admin.fetchval(
            "SELECT pg_get_expr(conbin, conrelid) FROM pg_constraint"
            " WHERE conrelid = 'core_entities'::regclass AND contype = 'c'"
        )
        rows = await admin.fetch(f"SELECT smart_code, {rule} AS fits FROM unnest($1::text[]) AS smart_code", _codes())
    assert {row["smart_code"]: row["fits"] for row in rows} == {
        code: pattern.fullmatch(code) is not None for code in _codes()
    }


async def test_duplicates_and_strangers_are_refused(admin_database_url: str, organization_id: UUID) -> None:
    async with connected(admin_database_url) as admin:
        run = await add_transaction(admin, organization_id)
        await add_line(admin, organization_id, run, 1)
        with pytest.raises(asyncpg.UniqueViolationError):
            await add_line(admin, organization_id, run, 1)
        with pytest.raises(asyncpg.ForeignKeyViolationError):
            await add_line(admin, organization_id, uuid4(), 1)
        with pytest.raises(asyncpg.CheckViolationError):
            await admin.execute("UPDATE universal_transactions SET total_amount = -1 WHERE id = $1", run)


async def test_everything_goes_when_its_organization_goes(admin_database_url: str, organization_id: UUID) -> None:
    async with connected(admin_database_url) as admin:
        entity = await add_entity(admin, organization_id)
        run = await add_transaction(admin, organization_id)
        await admin.execute("UPDATE universal_transactions SET source_entity_id = $1 WHERE id = $2", entity, run)
        await add_line(admin, organization_id, run, 1, amount=3)
        await admin.execute("DELETE FROM core_organizations WHERE id = $1", organization_id)
        assert await admin.fetchval("SELECT count(*) FROM universal_transactions WHERE id = $1", run) == 0


async def _total(connection: Any, run: UUID) -> Decimal:
    return await connection.fetchval("SELECT total_amount FROM universal_transactions WHERE id = $1", run)

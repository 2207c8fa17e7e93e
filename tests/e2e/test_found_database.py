"""The service on a HERA database that another application uses: both work, neither disturbs the other."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

import asyncpg

from cli.servers.postgres import DATABASE
from runtime.settings import plain_database_url
from storage.database.migrations.ddl import TABLES
from tests.support.grants import VOTERS, Grants
from tests.support.servers import scratch_folder
from tests.support.stack import Stack, running_stack

OTHER_ROLE, OTHER_PASSWORD = "erp_application", "erp-password"
OTHER_ORGANIZATION = uuid4()
SEEN = {
    "core_organizations": "id = $1",
    "core_entities": "organization_id = $1",
    "core_dynamic_data": "organization_id = $1",
    "core_relationships": "organization_id = $1",
    "universal_transactions": "organization_id = $1",
    "universal_transaction_lines": "organization_id = $1",
}


def _make_other_application(admin_url: str) -> None:
    async def make() -> None:
        admin = await asyncpg.connect(plain_database_url(admin_url))
        try:
            await admin.execute(f"CREATE ROLE {OTHER_ROLE} LOGIN PASSWORD '{OTHER_PASSWORD}'")
            for ddl in TABLES.values():
                await admin.execute(ddl)
            await admin.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {OTHER_ROLE}")
            organization = OTHER_ORGANIZATION
            await admin.execute(
                "INSERT INTO core_organizations (id, organization_name, organization_code) VALUES ($1, 'ERP', 'ERP')",
                organization,
            )
            customer, invoice = uuid4(), uuid4()
            await admin.execute(
                "INSERT INTO core_entities (id, organization_id, entity_type, entity_name, smart_code)"
                " VALUES ($1, $2, 'customer', 'Acme', 'HERA.RETAIL.CRM.CUSTOMER.MASTER.V1')",
                customer,
                organization,
            )
            await admin.execute(
                "INSERT INTO universal_transactions (id, organization_id, transaction_type, smart_code)"
                " VALUES ($1, $2, 'INVOICE', 'HERA.RETAIL.FIN.INVOICE.SALES.V1')",
                invoice,
                organization,
            )
        finally:
            await admin.close()

    asyncio.run(make())


def _seen_by_other(stack: Stack) -> dict[str, list[tuple[object, ...]]]:
    async def read() -> dict[str, list[tuple[object, ...]]]:
        assert stack.postgres is not None
        other = await asyncpg.connect(stack.postgres.url(OTHER_ROLE, OTHER_PASSWORD, DATABASE))
        try:
            seen: dict[str, list[tuple[object, ...]]] = {}
            for table, condition in SEEN.items():
                rows = await other.fetch(f"SELECT * FROM {table} WHERE {condition} ORDER BY id", OTHER_ORGANIZATION)
                seen[table] = [tuple(row) for row in rows]
            return seen
        finally:
            await other.close()

    return asyncio.run(read())


def test_both_applications_work_when_the_tables_were_there_before() -> None:
    with scratch_folder() as folder, running_stack(folder, prepare_database=_make_other_application) as stack:
        before = _seen_by_other(stack)
        grants = Grants(stack)
        run = grants.start()
        grants.register(run)
        for name in VOTERS:
            grants.vote(run, name)
        assert grants.author.finished(run)["output_data"]["award_status"] == "awarded"
        assert _seen_by_other(stack) == before
        assert before["core_entities"] != []
        rows = stack.rows("SELECT total_amount FROM universal_transactions WHERE id = $1", UUID(run))
        assert rows[0]["total_amount"] == 53

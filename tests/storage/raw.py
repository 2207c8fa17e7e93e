"""Plain SQL for tests of the tables: as any role, without the code under test."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg

Connection = asyncpg.Connection

ENTITY = "HERA.TEST.PLAYBOOK.DEF.ROW.V1"


@asynccontextmanager
async def connected(url: str) -> AsyncGenerator[Any]:
    """A connection of its own, closed at the end."""
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def inside(url: str, organization_id: UUID | str | None) -> AsyncGenerator[Any]:
    """A transaction with `app.current_org` set (None: not set at all), rolled back at the end."""
    async with connected(url) as connection:
        transaction = connection.transaction()
        await transaction.start()
        if organization_id is not None:
            await connection.execute("SELECT set_config('app.current_org', $1, true)", str(organization_id))
        yield connection
        await transaction.rollback()


async def add_entity(connection: Any, organization_id: UUID, kind: str = "thing") -> UUID:
    return await connection.fetchval(
        "INSERT INTO core_entities (organization_id, entity_type, entity_name, smart_code)"
        " VALUES ($1, $2, 'Thing', $3) RETURNING id",
        organization_id,
        kind,
        ENTITY,
    )


async def add_transaction(
    connection: Any, organization_id: UUID, kind: str = "PLAYBOOK_RUN", status: str = "queued"
) -> UUID:
    return await connection.fetchval(
        "INSERT INTO universal_transactions (organization_id, transaction_type, transaction_status, smart_code)"
        " VALUES ($1, $2, $3, $4) RETURNING id",
        organization_id,
        kind,
        status,
        ENTITY,
    )


async def add_line(
    connection: Any, organization_id: UUID, transaction_id: UUID, number: int, kind: str = "step", amount: int = 0
) -> UUID:
    return await connection.fetchval(
        "INSERT INTO universal_transaction_lines"
        " (organization_id, transaction_id, line_number, line_type, line_amount, smart_code)"
        " VALUES ($1, $2, $3, $4, $5, $6) RETURNING id",
        organization_id,
        transaction_id,
        number,
        kind,
        amount,
        ENTITY,
    )

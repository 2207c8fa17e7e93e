"""The organizations of a HERA database.

An operator creates one through the admin's URL; the service's role reads only its own. Invariant: the service's role
never learns that another organization exists.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import RowMapping, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from playbooks.common.errors import AlreadyExistsError, ServiceUnavailableError
from storage.database.roles import sqlstate
from storage.database.sessions import ReadSession, asyncpg_url
from storage.database.tables import organizations

_CONNECT_SECONDS = 5
_PATIENCE_SECONDS = 10
_PAUSE_SECONDS = 0.25
_STARTING_UP = "57P03"

_COLUMNS = (
    organizations.c.id,
    organizations.c.organization_code,
    organizations.c.organization_name,
    organizations.c.settings,
)


@dataclass(frozen=True, slots=True)
class OrganizationRow:
    """One organization. `settings` is a JSON object, for example `{"strict_publication": true}`."""

    id: UUID
    code: str
    name: str
    settings: dict[str, Any] = field(default_factory=dict[str, Any])


async def create_organization(admin_url: str, *, code: str, name: str) -> OrganizationRow:
    """Create an organization. Raises AlreadyExistsError when the code is taken, ServiceUnavailableError."""
    async with _admin(admin_url) as connection:
        statement = upsert(organizations).values(id=uuid4(), organization_code=code, organization_name=name)
        statement = statement.on_conflict_do_nothing(index_elements=["organization_code"])
        row = (await connection.execute(statement.returning(*_COLUMNS))).mappings().one_or_none()
    if row is None:
        raise AlreadyExistsError(f"an organization with the code {code!r} exists already")
    return _organization(row)


async def find_organization(admin_url: str, code: str) -> OrganizationRow | None:
    """The organization with this code, or None. Raises ServiceUnavailableError."""
    async with _admin(admin_url) as connection:
        statement = select(*_COLUMNS).where(organizations.c.organization_code == code)
        row = (await connection.execute(statement)).mappings().one_or_none()
    return None if row is None else _organization(row)


async def own_organization(session: ReadSession) -> OrganizationRow | None:
    """The session's organization, or None when there is no such organization."""
    statement = select(*_COLUMNS).where(organizations.c.id == session.organization_id)
    row = (await session.connection.execute(statement)).mappings().one_or_none()
    return None if row is None else _organization(row)


@asynccontextmanager
async def _admin(admin_url: str) -> AsyncGenerator[AsyncConnection]:
    engine = create_async_engine(asyncpg_url(admin_url), poolclass=NullPool, connect_args={"timeout": _CONNECT_SECONDS})
    try:
        connection = await _connected(engine)
        try:
            async with connection.begin():
                yield connection
        finally:
            await connection.close()
    finally:
        await engine.dispose()


async def _connected(engine: AsyncEngine) -> AsyncConnection:
    """A connection, tried again while the server is starting, or too busy to answer in time.

    Raises ServiceUnavailableError with the reason of the last attempt.
    """
    deadline = asyncio.get_running_loop().time() + _PATIENCE_SECONDS
    while True:
        try:
            return await engine.connect()
        except (OSError, DBAPIError) as error:
            if isinstance(error, DBAPIError) and sqlstate(error) != _STARTING_UP:
                raise
            if asyncio.get_running_loop().time() >= deadline:
                reason = str(error) or f"no answer within {_CONNECT_SECONDS} s"
                raise ServiceUnavailableError(f"the database is away: {reason}") from error
        await asyncio.sleep(_PAUSE_SECONDS)


def _organization(row: RowMapping) -> OrganizationRow:
    return OrganizationRow(row["id"], row["organization_code"], row["organization_name"], row["settings"] or {})

"""Transactions that always belong to one organization.

Invariant: no statement of a session runs before the transaction's organization is set, and no connection is used whose
role could bypass row-level security.
"""

import json
import re
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import event, make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from playbooks.common.errors import ServiceUnavailableError, ValidationError
from storage.database.roles import RECOVERY, UnsafeRoleError, sqlstate

_CONNECT_SECONDS = 5
_COMMAND_SECONDS = 10
_POOL_WAIT_SECONDS = 5

# Classes and codes of SQLSTATE after which the same work may succeed later: connection exceptions, out of resources,
# operator intervention (shutdown, cancelled by a timeout), deadlock, serialization failure, lock not available,
# idle-in-transaction timeout.
_LATER_CLASSES = ("08", "53", "57")
_LATER_CODES = frozenset({"40P01", "40001", "55P03", "25P03"})

# A value that no column can hold (NUL, half a surrogate pair, out of range), found by the server or by the driver.
# The API refuses these with a pointer; one that gets here is still the sender's mistake.
_UNFIT_CODES = frozenset({"22000", "22003", "22021", "22P05"})

_SET_ORGANIZATION = text("SELECT set_config('app.current_org', :organization, true)")
_LONG_NUMBER = re.compile("[0-9]{19}")


@dataclass(frozen=True, slots=True)
class ReadSession:
    """A read-only transaction that sees the rows of one organization."""

    connection: AsyncConnection
    organization_id: UUID


@dataclass(frozen=True, slots=True)
class WriteSession(ReadSession):
    """A transaction that reads and writes the rows of one organization, and commits when its block ends normally."""


@dataclass(frozen=True, slots=True)
class RecoverySession:
    """A read-only transaction that sees the unfinished runs and transitions of all organizations, and nothing else."""

    connection: AsyncConnection


def asyncpg_url(url: str) -> URL:
    """The URL with the driver we use; accepts `postgres://`, `postgresql://` and libpq's `sslmode`."""
    parsed = make_url(url).set(drivername="postgresql+asyncpg")
    sslmode = parsed.query.get("sslmode")
    if sslmode is None:
        return parsed
    return parsed.difference_update_query(["sslmode"]).update_query_dict({"ssl": sslmode})


class Database:
    """One process's pool of connections as the service's role, from `connect` to `close`."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @classmethod
    def connect(cls, url: str, *, pool_size: int = 10) -> "Database":
        """A database at `url`. Opens no connection yet, so it also succeeds while the database is away."""
        engine = create_async_engine(
            asyncpg_url(url),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=_POOL_WAIT_SECONDS,
            pool_pre_ping=True,
            hide_parameters=True,  # errors reach logs, and parameters are people's data
            json_serializer=_to_json,
            json_deserializer=_from_json,
            connect_args={
                "timeout": _CONNECT_SECONDS,
                "command_timeout": _COMMAND_SECONDS,
                "server_settings": {"application_name": "hera-playbooks"},
            },
        )
        event.listen(engine.sync_engine, "connect", _refuse_unsafe_role)
        return cls(engine)

    async def close(self) -> None:
        """Close all connections; sessions that are open are cut off."""
        await self._engine.dispose()

    async def ping(self) -> None:
        """Raise ServiceUnavailableError unless the database answers."""
        with _translated():
            async with self._engine.connect() as connection:
                await connection.execute(text("SELECT 1"))

    @asynccontextmanager
    async def reading(self, organization_id: UUID) -> AsyncGenerator[ReadSession]:
        """Open one read-only transaction inside the organization; all its statements see one moment.

        Raises ServiceUnavailableError when the database is away, also for what happens in the block, and
        ValidationError when a value of a statement cannot be stored or compared.
        """
        with _translated():
            async with self._engine.connect() as connection:
                await connection.execution_options(postgresql_readonly=True, isolation_level="REPEATABLE READ")
                async with connection.begin():
                    await _set_organization(connection, organization_id)
                    yield ReadSession(connection, organization_id)

    @asynccontextmanager
    async def writing(self, organization_id: UUID) -> AsyncGenerator[WriteSession]:
        """One transaction inside the organization; commits when the block ends, rolls back when it raises.

        Raises ServiceUnavailableError when the database is away. When that happens at the commit it is unknown whether
        the work was stored, so whatever a block writes must be safe to repeat.
        """
        with _translated():
            async with self._engine.begin() as connection:
                await _set_organization(connection, organization_id)
                yield WriteSession(connection, organization_id)

    @asynccontextmanager
    async def recovering(self) -> AsyncGenerator[RecoverySession]:
        """One read-only transaction as the recovery role: finds runs; the work on each is done inside its own
        organization with `writing`."""
        with _translated():
            async with self._engine.connect() as connection:
                await connection.execution_options(postgresql_readonly=True)
                async with connection.begin():
                    await connection.execute(text(f"SET LOCAL ROLE {RECOVERY}"))
                    yield RecoverySession(connection)


async def _set_organization(connection: AsyncConnection, organization_id: UUID) -> None:
    # Local to the transaction: a pooled connection loses it at the end in any case.
    await connection.execute(_SET_ORGANIZATION, {"organization": str(organization_id)})


@contextmanager
def _translated() -> Generator[None]:
    """Turn all errors of an unavailable database into one; other errors pass unchanged."""
    try:
        yield
    except PoolTimeoutError as error:
        raise ServiceUnavailableError("all database connections are busy") from error
    except DBAPIError as error:
        if sqlstate(error) in _UNFIT_CODES:
            raise ValidationError("a value cannot be stored") from error
        if not _is_away(error):
            raise
        raise ServiceUnavailableError("the database is away") from error
    except OSError as error:
        # asyncpg does not wrap refused connections and timeouts; TimeoutError is an OSError.
        raise ServiceUnavailableError("the database is away") from error


def _is_away(error: DBAPIError) -> bool:
    state = sqlstate(error)
    if state is None:
        return error.connection_invalidated or isinstance(error, InterfaceError)
    return state.startswith(_LATER_CLASSES) or state in _LATER_CODES


def _refuse_unsafe_role(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    try:
        cursor.execute("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user")
        row = cursor.fetchone()
    finally:
        cursor.close()
    # The query has begun a transaction, and the pool hands the connection out in that state.
    connection.rollback()
    if row is None or row[0]:
        raise UnsafeRoleError("the role of the database URL can bypass row-level security; use the service's role")


def _to_json(value: object) -> str:
    # NaN and Infinity are not JSON: the error is clearer here than in the server.
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _from_json(text: str) -> Any:
    """jsonb writes a large double without its exponent; as an integer it would be another type than what went in."""
    return json.loads(text, parse_int=_bounded_int) if _LONG_NUMBER.search(text) else json.loads(text)


def _bounded_int(digits: str) -> int | float:
    number = int(digits)
    return number if -(2**63) <= number < 2**63 else float(number)

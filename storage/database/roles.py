"""The three database roles, and the password of the one that logs in.

Invariant: the service's role owns nothing, cannot bypass row-level security, and becomes the recovery role only where a
transaction sets it.

Roles belong to the whole cluster, so migrations of several databases may create them at once; that is why every
statement is conditional, and all are repeated when PostgreSQL reports a conflict.
"""

import asyncio

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from playbooks.common.errors import PlaybooksError

SERVICE = "playbook_service"
RECOVERY = "playbook_recovery"
OWNER = "playbook_owner"

# unique_violation, duplicate_object, and "tuple concurrently updated", which has no code of its own.
_CONFLICTS = {"23505", "42710", "XX000"}
_ATTEMPTS = 10
_GRANTS_HAVE_OPTIONS = 160_000

_SET_PASSWORD = f"""DO $$ BEGIN
    EXECUTE format('ALTER ROLE {SERVICE} WITH LOGIN PASSWORD %L', current_setting('playbook.password'));
END $$"""


class UnsafeRoleError(PlaybooksError):
    """A role of ours exists with rights that would make row-level security meaningless, or cannot be made."""


async def prepare_roles(engine: AsyncEngine, service_password: str | None) -> None:
    """Create the roles that are missing and set the service's password where one is given.

    Repeating it changes nothing. Raises UnsafeRoleError when the service's or recovery's role is a superuser or has
    BYPASSRLS: an operator has to correct that, since the isolation of tenants depends on it.
    """
    for attempt in range(_ATTEMPTS):
        try:
            async with engine.begin() as connection:
                await _prepare(connection, service_password)
                return
        except DBAPIError as error:
            if attempt == _ATTEMPTS - 1 or sqlstate(error) not in _CONFLICTS:
                raise
            await asyncio.sleep(0.05 * (attempt + 1))


def sqlstate(error: DBAPIError) -> str | None:
    """The five-character SQLSTATE behind a driver's error, or None when the server never answered."""
    state: object = getattr(error.orig, "sqlstate", None)
    return state if isinstance(state, str) else None


async def _prepare(connection: AsyncConnection, service_password: str | None) -> None:
    for role, attributes in ((OWNER, "NOLOGIN"), (RECOVERY, "NOLOGIN NOINHERIT"), (SERVICE, "LOGIN NOINHERIT")):
        if not await _has(connection, "SELECT 1 FROM pg_roles WHERE rolname = :role", role=role):
            await connection.execute(text(f"CREATE ROLE {role} {attributes} NOSUPERUSER NOCREATEDB NOCREATEROLE"))
    unsafe = "SELECT 1 FROM pg_roles WHERE rolname IN (:service, :recovery) AND (rolsuper OR rolbypassrls)"
    if await _has(connection, unsafe, service=SERVICE, recovery=RECOVERY):
        raise UnsafeRoleError(f"{SERVICE} or {RECOVERY} can bypass row-level security")
    if await _has(connection, "SELECT 1 WHERE pg_has_role(:service, :owner, 'MEMBER')", service=SERVICE, owner=OWNER):
        raise UnsafeRoleError(f"{SERVICE} is a member of {OWNER}")
    if service_password is not None:
        # A role's password cannot be a bind parameter, and as text it would be in the statement of an error.
        setting = text("SELECT set_config('playbook.password', :password, true)")
        await connection.execute(setting, {"password": service_password})
        await connection.execute(text(_SET_PASSWORD))
    version = int(str((await connection.execute(text("SHOW server_version_num"))).scalar_one()))
    await _let_service_recover(connection, version)
    await _let_admin_own(connection, version)


async def _let_service_recover(connection: AsyncConnection, version: int) -> None:
    """Grant the recovery role so that it is assumed, never inherited: an inherited one would widen every query."""
    member = """SELECT 1 FROM pg_auth_members m
        JOIN pg_roles r ON r.oid = m.roleid JOIN pg_roles s ON s.oid = m.member
        WHERE r.rolname = :recovery AND s.rolname = :service"""
    if version >= _GRANTS_HAVE_OPTIONS:
        member += " AND NOT m.inherit_option AND m.set_option"
        statement = f"GRANT {RECOVERY} TO {SERVICE} WITH INHERIT FALSE, SET TRUE"
    else:
        # Before PostgreSQL 16 inheritance is an attribute of the member.
        statement = f"GRANT {RECOVERY} TO {SERVICE}"
        noinherit = "SELECT 1 FROM pg_roles WHERE rolname = :service AND NOT rolinherit"
        if not await _has(connection, noinherit, service=SERVICE):
            await connection.execute(text(f"ALTER ROLE {SERVICE} NOINHERIT"))
    if not await _has(connection, member, recovery=RECOVERY, service=SERVICE):
        await connection.execute(text(statement))


async def _let_admin_own(connection: AsyncConnection, version: int) -> None:
    """Make the admin a member of the owner role, to hand tables over to it and to change them later.

    A superuser needs no membership. Since PostgreSQL 16 the creator of a role is a member that may only grant it on.
    """
    superuser = "SELECT 1 FROM pg_roles WHERE rolname = current_user AND rolsuper"
    if await _has(connection, superuser):
        return
    member, options = "SELECT 1 WHERE pg_has_role(current_user, :owner, 'USAGE')", ""
    if version >= _GRANTS_HAVE_OPTIONS:
        member += " AND pg_has_role(current_user, :owner, 'SET')"
        options = " WITH INHERIT TRUE, SET TRUE"
    if not await _has(connection, member, owner=OWNER):
        await connection.execute(text(f"GRANT {OWNER} TO CURRENT_USER{options}"))


async def _has(connection: AsyncConnection, query: str, **parameters: str) -> bool:
    return (await connection.execute(text(query), parameters)).first() is not None

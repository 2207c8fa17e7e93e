"""Brings a database to the newest revision: roles first, then alembic.

Running it again, or twice at once, changes nothing more.
"""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from storage.database.roles import prepare_roles
from storage.database.sessions import asyncpg_url

_SCRIPTS = Path(__file__).parent / "migrations"

# Alembic keeps its context in module globals: two upgrades in one process must not run at once.
_ALEMBIC = threading.Lock()


def upgrade(admin_url: str, service_password: str | None = None) -> None:
    """Create or extend the tables of the database at `admin_url`, and set the service role's password when given.

    The admin is a superuser, or may create roles and alter the six tables where they exist. Blocks until done, also
    when it is called inside a running event loop. Raises `UnsafeRoleError`, and driver errors as they
    come; nothing is half done then, except that roles may exist.
    """
    with ThreadPoolExecutor(max_workers=1) as pool:
        pool.submit(asyncio.run, _upgrade(admin_url, service_password)).result()


async def _upgrade(admin_url: str, service_password: str | None) -> None:
    engine = create_async_engine(
        asyncpg_url(admin_url), poolclass=NullPool, hide_parameters=True, connect_args={"timeout": 10}
    )
    try:
        await prepare_roles(engine, service_password)
        async with engine.connect() as connection:
            await connection.run_sync(_run_revisions)
    finally:
        await engine.dispose()


def _run_revisions(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    # Without it alembic warns that it guesses the separator of version locations.
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    with _ALEMBIC:
        command.upgrade(config, "head")

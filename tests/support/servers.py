"""Real servers for tests: one PostgreSQL and one Temporal per test process, in a folder of their own."""

from __future__ import annotations

import asyncio
import base64
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import asyncpg

from cli.servers.ports import any_free_port
from cli.servers.postgres import PostgresServer, create_database, start_postgres
from cli.servers.temporal import TemporalServer, start_temporal
from runtime.settings import plain_database_url
from storage.database.migrate import upgrade

SERVICE_PASSWORD = "service-password"
ENCRYPTION_KEYS = "test:" + base64.b64encode(bytes(range(32))).decode()
JWT_SECRET = "a-secret-for-tests-that-is-long-enough-for-hs256"


@contextmanager
def scratch_folder() -> Generator[Path]:
    """A folder under the system's temporary folder that the database's user can pass through."""
    folder = Path(tempfile.mkdtemp(prefix="playbooks-test-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def running_postgres(folder: Path) -> Generator[PostgresServer]:
    """A PostgreSQL server without durability, stopped at the end."""
    server = start_postgres(
        folder / "postgres", port=any_free_port(), log=folder / "postgres.log", is_durable=False, password="admin"
    )
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def running_temporal(folder: Path, *, port: int | None = None) -> Generator[TemporalServer]:
    """A Temporal server without the Web UI, stopped at the end. Its state stays in `folder`."""
    server = start_temporal(folder / "temporal.db", port=port or any_free_port(), log=folder / "temporal.log")
    try:
        yield server
    finally:
        server.stop()


def fresh_database(server: PostgresServer) -> str:
    """Admin URL of a new, empty database of this server."""
    return create_database(server, f"test_{uuid4().hex}")


def migrated_database(server: PostgresServer) -> str:
    """Admin URL of a new database with our tables: a copy of one that was migrated, once for each server."""
    template = _TEMPLATES.get(server.port)
    if template is None:
        template = fresh_database(server)
        upgrade(template, SERVICE_PASSWORD)
        _TEMPLATES[server.port] = template
    name = f"test_{uuid4().hex}"
    asyncio.run(_copy(server, template.rsplit("/", 1)[1], name))
    return template.rsplit("/", 1)[0] + f"/{name}"


_TEMPLATES: dict[int, str] = {}


async def _copy(server: PostgresServer, template: str, name: str) -> None:
    connection = await asyncpg.connect(plain_database_url(server.admin_url))
    try:
        await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    finally:
        await connection.close()


def service_url(server: PostgresServer, admin_url: str) -> str:
    """The service role's URL of the database that `admin_url` names."""
    return server.url("playbook_service", SERVICE_PASSWORD, admin_url.rsplit("/", 1)[1])

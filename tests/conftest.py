"""Fixtures of all tests. Servers are real, start when first asked for, once per test process, and always stop.

postgres               PostgresServer, running (session)
admin_database_url     superuser's URL of one migrated database (session)
database_url           service role's URL of the same database (session)
empty_database_url     superuser's URL of a new database without tables (each test)
temporal               TemporalServer, running, without Web UI (session)
settings               Settings over these servers (session)
stack                  Stack: processes as a user starts them, for tests that break nothing (session)
database               storage.database.sessions.Database as the service role (session)
organization_id        id of a fresh organization (each test)
new_organization       async function that makes further ones: `await new_organization("name") -> UUID`
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as examples

from tests.support import servers
from tests.support.databases import admin_database_url, database, database_url, settings
from tests.support.stack import Stack, running_stack

# A busy machine makes no test fail: examples are bounded in number and equal in every run, never in time.
examples.register_profile(
    "house",
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow],
)
examples.load_profile("house")

if TYPE_CHECKING:
    from cli.servers.postgres import PostgresServer
    from cli.servers.temporal import TemporalServer

__all__ = ["admin_database_url", "database", "database_url", "settings"]

MakeOrganization = Callable[[str], Awaitable[UUID]]


@pytest.fixture(scope="session")
def server_folder() -> Generator[Path]:
    with servers.scratch_folder() as folder:
        yield folder


@pytest.fixture(scope="session")
def postgres(server_folder: Path) -> Generator[PostgresServer]:
    with servers.running_postgres(server_folder) as server:
        yield server


@pytest.fixture
def empty_database_url(postgres: PostgresServer) -> str:
    return servers.fresh_database(postgres)


@pytest.fixture(scope="session")
def temporal(server_folder: Path) -> Generator[TemporalServer]:
    with servers.running_temporal(server_folder) as server:
        yield server


@pytest.fixture(scope="session")
def stack() -> Generator[Stack]:
    with servers.scratch_folder() as folder, running_stack(folder) as running:
        yield running


@pytest.fixture
def new_organization(admin_database_url: str) -> MakeOrganization:
    from storage.identity.organizations import create_organization

    async def make(name: str) -> UUID:
        row = await create_organization(admin_database_url, code=f"{name}-{uuid4().hex[:12]}", name=name)
        return row.id

    return make


@pytest.fixture
async def organization_id(new_organization: MakeOrganization) -> UUID:
    return await new_organization("organization")


_LONG = ("e2e", "chaos", "recovery", "cli", "workflows")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take long come first, so that two processes end at about the same time."""
    items.sort(key=lambda item: not _is_long(item))


def _is_long(item: pytest.Item) -> bool:
    return any(folder in item.path.parts for folder in _LONG)

"""Fixtures of one migrated database, and of settings over it. A `conftest.py` that imports them has its own.

Rooms need that whose tests would see each other's rows: one writes by hand what no workflow made, another lets workers
look after all that there is.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from runtime.settings import Settings
from tests.support import servers

if TYPE_CHECKING:
    from cli.servers.postgres import PostgresServer
    from cli.servers.temporal import TemporalServer
    from storage.database.sessions import Database

__all__ = ["admin_database_url", "database", "database_url", "settings"]


@pytest.fixture(scope="session")
def admin_database_url(postgres: PostgresServer) -> str:
    return servers.migrated_database(postgres)


@pytest.fixture(scope="session")
def database_url(postgres: PostgresServer, admin_database_url: str) -> str:
    return servers.service_url(postgres, admin_database_url)


@pytest.fixture(scope="session")
def settings(database_url: str, admin_database_url: str, temporal: TemporalServer) -> Settings:
    return Settings.model_validate(
        {
            "database_url": database_url,
            "admin_database_url": admin_database_url,
            "temporal_address": temporal.address,
            # No worker takes what belongs to another database.
            "task_queue": f"tests-{uuid4().hex}",
            "jwt_secret": servers.JWT_SECRET,
            "encryption_keys": servers.ENCRYPTION_KEYS,
            "egress_allow": "127.0.0.0/8",
        }
    )


@pytest.fixture(scope="session")
async def database(database_url: str) -> AsyncGenerator[Database]:
    from storage.database.sessions import Database

    connected = Database.connect(database_url)
    yield connected
    # Bounded: what a failed test left behind must fail the run, never hang it.
    await asyncio.wait_for(connected.close(), 20)

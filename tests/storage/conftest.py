"""Fixtures of the storage tests."""

from __future__ import annotations

from uuid import UUID

import pytest

from storage.database.sessions import Database
from tests.storage.samples import Sample, published
from tests.support.databases import admin_database_url, database, database_url, settings

__all__ = ["admin_database_url", "database", "database_url", "settings"]


@pytest.fixture
async def sample(database: Database, organization_id: UUID) -> Sample:
    """A published playbook in an organization of its own."""
    return await published(database, organization_id)

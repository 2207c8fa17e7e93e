"""The application over real servers, asked through ASGI; a real worker where a test needs verdicts."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import httpx2
import pytest
from fastapi import FastAPI

from api.app import create_app
from cli.worker import running_worker
from runtime.settings import Settings
from tests.api.callers import Caller, Organization, client_of
from tests.conftest import MakeOrganization
from tests.support.databases import admin_database_url, database, database_url, settings

__all__ = ["admin_database_url", "database", "database_url", "settings"]


@pytest.fixture(scope="session")
async def app(settings: Settings) -> AsyncGenerator[FastAPI]:
    made = create_app(settings.model_copy(update={"temporal_ui_url": "http://127.0.0.1:8233"}))
    async with made.router.lifespan_context(made):
        yield made


@pytest.fixture(scope="session")
async def http(app: FastAPI) -> AsyncGenerator[httpx2.AsyncClient]:
    async with client_of(app) as client:
        yield client


@pytest.fixture
async def organization(new_organization: MakeOrganization, http: httpx2.AsyncClient) -> Organization:
    return Organization(await new_organization("api"), http)


@pytest.fixture
async def stranger(new_organization: MakeOrganization, http: httpx2.AsyncClient) -> Caller:
    """Somebody with every right in another organization."""
    return Organization(await new_organization("other"), http).caller("mallory", admin=True)


@pytest.fixture
def author(organization: Organization) -> Caller:
    return organization.caller("anna", admin=True)


@pytest.fixture(scope="session")
async def worker(settings: Settings, app: FastAPI) -> AsyncGenerator[None]:
    async with running_worker(settings):
        yield

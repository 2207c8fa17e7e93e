"""Connections, keys and caches of one API process. The application holds them; there is no module-level singleton."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import UUID

from api.http.security import Principal
from api.temporal_client import RunWorkflows
from playbooks.common.errors import ForbiddenError
from playbooks.common.ids import actor_id
from playbooks.common.values import Actor
from playbooks.compiler.compile import CompiledPlaybook, compile_playbook
from playbooks.document.handler_catalog import HandlerDescription
from playbooks.document.model import PlaybookDocument
from runtime.settings import Settings
from runtime.temporal_client import connect
from runtime.tokens import TokenVerifier
from runtime.worker_packages import installed_descriptions
from storage.database.sealing import Sealer
from storage.database.sessions import Database, WriteSession
from storage.identity.organizations import own_organization
from storage.identity.users import ensure_user
from storage.playbooks.cache import VersionCache

_MAX_CACHED_PEOPLE = 10_000
Result = TypeVar("Result")
_MAX_CALCULATIONS = 2
"""Compilations and simulations at once in one process; further ones wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Connections, keys and caches of one process."""

    settings: Settings
    database: Database
    workflows: RunWorkflows
    sealer: Sealer
    tokens: TokenVerifier
    versions: VersionCache = field(default_factory=VersionCache)
    handlers: Mapping[str, HandlerDescription] = field(default_factory=dict[str, HandlerDescription])
    calculations: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_MAX_CALCULATIONS))
    _stored_people: set[tuple[UUID, UUID]] = field(default_factory=set[tuple[UUID, UUID]])

    async def authenticate(self, token: str) -> Principal:
        """Verify a bearer token. Raises UnauthorizedError, or ServiceUnavailableError without keys."""
        claims = await self.tokens.verify(token)
        actor = Actor(
            id=actor_id(claims.organization_id, claims.sub), name=claims.display_name, roles=claims.roles, via="api"
        )
        return Principal(
            organization_id=claims.organization_id, actor=actor, subject=claims.sub, permissions=claims.permissions
        )

    async def calculate(self, work: Callable[[], Result]) -> Result:
        """Run `work` in a thread, so that compiling or simulating does not block the event loop for other requests."""
        async with self.calculations:
            return await asyncio.to_thread(work)

    async def compile(self, document: PlaybookDocument, playbook_id: UUID, version: int) -> CompiledPlaybook:
        """Compile a document: the plan, if it can be published, and all errors and warnings."""
        return await self.calculate(
            lambda: compile_playbook(document, playbook_id=playbook_id, version=version, handlers=self.handlers)
        )

    @asynccontextmanager
    async def writing(self, principal: Principal) -> AsyncGenerator[WriteSession]:
        """Open a transaction in the name of the principal. The person's entity is inserted first where it is missing,
        because rows refer to it.

        Raises ForbiddenError when the token's organization does not exist, ServiceUnavailableError.
        """
        person = (principal.organization_id, principal.actor.id)
        async with self.database.writing(principal.organization_id) as session:
            if person not in self._stored_people:
                if await own_organization(session) is None:
                    raise ForbiddenError("the token's organization does not exist")
                await ensure_user(session, principal.actor)
            yield session
        # Only after the commit: a rollback would have undone the insert.
        if len(self._stored_people) >= _MAX_CACHED_PEOPLE:
            self._stored_people.clear()
        self._stored_people.add(person)


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncGenerator[Services]:
    """Open the services, and close them at the end. Succeeds while the database or Temporal is away."""
    database = Database.connect(settings.needed("database_url"))
    try:
        yield Services(
            settings=settings,
            database=database,
            workflows=RunWorkflows(await connect(settings), settings),
            sealer=Sealer(settings.key_ring),
            tokens=TokenVerifier(settings),
            handlers=installed_descriptions(),
        )
    finally:
        await database.close()

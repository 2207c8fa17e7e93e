"""What one API process opens once and every request uses.

Owns opening and closing. Must not know routes. Nothing here is a module-level singleton: the application holds it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import UUID

from api.http.security import Principal
from api.temporal_client import Runs
from playbooks.common.errors import ForbiddenError
from playbooks.common.ids import actor_id
from playbooks.common.values import Actor
from playbooks.document.handler_catalog import HandlerDescription
from playbooks.engine.model.plan import Plan
from runtime.settings import Settings
from runtime.temporal_client import connect
from runtime.tokens import TokenVerifier
from runtime.worker_packages import installed_descriptions
from storage.database.sealing import Sealer
from storage.database.sessions import Database, ReadSession, WriteSession
from storage.identity.organizations import own_organization
from storage.identity.users import ensure_user
from storage.playbooks.cache import VersionCache

_MAX_KNOWN_PEOPLE = 10_000
Calculated = TypeVar("Calculated")
_MAX_CALCULATIONS = 2
"""At once in one process; others wait for their turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Connections, keys and caches of one process."""

    settings: Settings
    database: Database
    runs: Runs
    sealer: Sealer
    tokens: TokenVerifier
    versions: VersionCache = field(default_factory=VersionCache)
    handlers: Mapping[str, HandlerDescription] = field(default_factory=dict[str, HandlerDescription])
    calculations: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_MAX_CALCULATIONS))
    _known_people: set[tuple[UUID, UUID]] = field(default_factory=set[tuple[UUID, UUID]])

    async def authenticate(self, token: str) -> Principal:
        """Who a bearer token says is asking. Raises UnauthorizedError, or ServiceUnavailableError without keys."""
        claims = await self.tokens.verify(token)
        actor = Actor(
            id=actor_id(claims.organization_id, claims.sub), name=claims.display_name, roles=claims.roles, via="api"
        )
        return Principal(
            organization_id=claims.organization_id, actor=actor, subject=claims.sub, permissions=claims.permissions
        )

    async def calculate(self, work: Callable[[], Calculated]) -> Calculated:
        """What `work` gives, from a thread: documents are compiled and simulated there, so that nobody waits for them
        who does not ask for that."""
        async with self.calculations:
            return await asyncio.to_thread(work)

    async def plan_of(self, session: ReadSession, playbook_id: UUID) -> Plan:
        """The plan that runs of this version follow. Raises NotFoundError when it was never published."""
        return (await self.versions.get(session, playbook_id)).plan

    @asynccontextmanager
    async def writing(self, principal: Principal) -> AsyncGenerator[WriteSession]:
        """One transaction in the name of the principal, whose entity exists in it.

        Raises ForbiddenError when the token's organization does not exist, ServiceUnavailableError.
        """
        person = (principal.organization_id, principal.actor.id)
        async with self.database.writing(principal.organization_id) as session:
            if person not in self._known_people:
                if await own_organization(session) is None:
                    raise ForbiddenError("the token's organization does not exist")
                await ensure_user(session, principal.actor)
            yield session
        # Only now: a rollback would have undone the entity.
        if len(self._known_people) >= _MAX_KNOWN_PEOPLE:
            self._known_people.clear()
        self._known_people.add(person)


@asynccontextmanager
async def opened(settings: Settings) -> AsyncGenerator[Services]:
    """The services, closed again at the end. Succeeds while the database and Temporal are away."""
    database = Database.connect(settings.needed("database_url"))
    try:
        yield Services(
            settings=settings,
            database=database,
            runs=Runs(await connect(settings), settings),
            sealer=Sealer(settings.key_ring),
            tokens=TokenVerifier(settings),
            handlers=installed_descriptions(),
        )
    finally:
        await database.close()

"""Documents and plans of versions that do not change any more, kept in the process.

Owns what is kept and for how long. Must not know who asks. Invariant: a draft is never kept, and what one organization
loaded is never given to another: the key has both ids, and a miss reads under the session's organization.
"""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

from playbooks.document.model import PlaybookDocument, read_document
from playbooks.engine.model.plan import Plan
from playbooks.lifecycle.transitions import is_locked
from runtime.lru_cache import LruCache
from storage.database.sessions import ReadSession
from storage.playbooks.plans import get_plan
from storage.playbooks.version_rows import get_version


class CachedVersion(NamedTuple):
    """A published version as activities need it."""

    document: PlaybookDocument
    plan: Plan


class VersionCache:
    """The versions used last, at most `size` of them. One for each process; used from one event loop."""

    def __init__(self, size: int = 256) -> None:
        self._kept = LruCache[tuple[UUID, UUID], CachedVersion](size)

    def cached(self, organization_id: UUID, playbook_id: UUID) -> CachedVersion | None:
        """The version if it is kept: then no session is needed."""
        return self._kept.get((organization_id, playbook_id))

    async def get(self, session: ReadSession, playbook_id: UUID) -> CachedVersion:
        """The version, kept or read. Raises NotFoundError when it is not here, or was never published."""
        found = self.cached(session.organization_id, playbook_id)
        if found is not None:
            return found
        row = await get_version(session, playbook_id)
        version = CachedVersion(read_document(row.document), await get_plan(session, playbook_id))
        if is_locked(row.status):
            self._kept.put((session.organization_id, playbook_id), version)
        return version

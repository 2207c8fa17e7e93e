"""The immutable playbook version that a run is pinned to: document and plan."""

from __future__ import annotations

from uuid import UUID

from activities.dependencies import ActivityDependencies
from playbooks.evaluation.steps import Version

__all__ = ["Version", "load_version"]


async def load_version(deps: ActivityDependencies, organization_id: UUID, playbook_id: UUID) -> Version:
    """Return the version from the process's cache or the tables. Raises ServiceUnavailableError, NotFoundError."""
    kept = deps.versions.cached(organization_id, playbook_id)
    if kept is None:
        async with deps.database.reading(organization_id) as session:
            kept = await deps.versions.get(session, playbook_id)
    return Version(kept.document, kept.plan)

"""Versions of one playbook: find another one, compare two.

Owns which versions are meant. What differs between documents is `playbooks.compiler.diff`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from api.http.security import Principal
from api.services import Services
from playbooks.common.errors import NotFoundError, ValidationError
from playbooks.common.errors import error as problem
from playbooks.compiler.diff import VersionComparison, compare_versions
from playbooks.document.model import read_document
from storage.database.sessions import ReadSession
from storage.playbooks import version_rows as rows
from storage.playbooks.version_rows import PlaybookRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Two versions and what differs."""

    before: PlaybookRow
    after: PlaybookRow
    comparison: VersionComparison


async def version_of(session: ReadSession, current: PlaybookRow, wanted: int | UUID) -> PlaybookRow:
    """Another version of the same playbook, by number or id, deleted ones too. Raises NotFoundError."""
    if isinstance(wanted, UUID):
        found = await rows.get_version(session, wanted)
        if found.code == current.code:
            return found
        raise NotFoundError(f"there is no such version of '{current.code}'")
    versions = await rows.versions_of(session, current.code)
    identity = next((row.id for row in versions if row.version == wanted), None)
    if identity is None:
        raise NotFoundError(f"there is no version {wanted} of '{current.code}'")
    return await rows.get_version(session, identity)


async def compare(
    services: Services, principal: Principal, playbook_id: UUID, before: int | None, after: int | None
) -> Compared:
    """The version `after` (the one asked for, if None) beside `before` (the one before that, if None).

    Raises NotFoundError, ValidationError where no version is before.
    """
    async with services.database.reading(principal.organization_id) as session:
        current = await rows.get_version(session, playbook_id)
        second = current if after is None else await version_of(session, current, after)
        if before is None:
            versions = await rows.versions_of(session, current.code)
            before = max((row.version for row in versions if row.version < second.version), default=None)
        if before is None:
            message = f"no version is before version {second.version}: say which one to compare with"
            raise ValidationError(message, (problem("/query/from", "REQUIRED", message),))
        first = await version_of(session, current, before)
    comparison = compare_versions(read_document(first.document), read_document(second.document))
    return Compared(before=first, after=second, comparison=comparison)

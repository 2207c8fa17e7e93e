"""Versions of one playbook: list them, compare two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from api.context import RequestContext
from api.playbooks.operations import find_version, read_playbook
from playbooks.common.errors import ValidationError
from playbooks.common.errors import error as problem
from playbooks.compiler.diff import VersionComparison, compare_versions
from playbooks.document.model import read_document
from storage.playbooks import version_rows
from storage.playbooks.version_rows import PlaybookRow


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedVersions:
    """Two versions and their differences."""

    before: PlaybookRow
    after: PlaybookRow
    comparison: VersionComparison


async def list_versions(context: RequestContext, playbook_id: UUID) -> Sequence[PlaybookRow]:
    """Return all versions with the code of this one, newest first. Raises NotFoundError."""
    return (await read_playbook(context, playbook_id, with_versions=True)).versions


async def compare(
    context: RequestContext, playbook_id: UUID, before: int | None, after: int | None
) -> ComparedVersions:
    """Compare version `after` (default: the one with this id) with version `before` (default: the one before it).

    Raises NotFoundError, ValidationError where there is no version before.
    """
    async with context.reading() as session:
        current = await version_rows.get_version(session, playbook_id)
        second = current if after is None else await find_version(session, current, after)
        if before is None:
            rows = await version_rows.versions_of(session, current.code)
            before = max((row.version for row in rows if row.version < second.version), default=None)
        if before is None:
            message = f"no version is before version {second.version}: say which one to compare with"
            raise ValidationError(message, (problem("/query/from", "REQUIRED", message),))
        first = await find_version(session, current, before)
    comparison = compare_versions(read_document(first.document), read_document(second.document))
    return ComparedVersions(before=first, after=second, comparison=comparison)

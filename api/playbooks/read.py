"""Read playbook versions."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from api.http.security import Principal
from api.playbooks.schemas import PlaybookListQuery, ValidationReport
from api.playbooks.validation import report_on
from api.runs.read import check_page
from api.services import Services
from storage.database.pages import Page
from storage.playbooks import version_rows as rows
from storage.playbooks.version_rows import PlaybookFilter, PlaybookRow


async def read_playbook(services: Services, principal: Principal, playbook_id: UUID) -> PlaybookRow:
    """The version. Raises NotFoundError, also for another organization's."""
    async with services.database.reading(principal.organization_id) as session:
        return await rows.get_version(session, playbook_id)


async def list_playbooks(services: Services, principal: Principal, query: PlaybookListQuery) -> Page[PlaybookRow]:
    """One page of the organization's versions."""
    check_page(query)
    async with services.database.reading(principal.organization_id) as session:
        return await rows.list_versions(
            session,
            PlaybookFilter(
                code=query.code,
                statuses=() if query.status is None else (query.status,),
                industry=query.industry,
                module=query.module,
                search=query.search,
                limit=query.limit,
                offset=query.offset,
                cursor=query.cursor,
            ),
        )


async def list_versions(services: Services, principal: Principal, playbook_id: UUID) -> Sequence[PlaybookRow]:
    """All versions that share the code of this one, newest first. Raises NotFoundError."""
    async with services.database.reading(principal.organization_id) as session:
        row = await rows.get_version(session, playbook_id)
        return await rows.versions_of(session, row.code)


async def validate_stored(services: Services, principal: Principal, playbook_id: UUID) -> ValidationReport:
    """What publishing this version would say. Raises NotFoundError."""
    async with services.database.reading(principal.organization_id) as session:
        row = await rows.get_version(session, playbook_id)
        document = await rows.get_document(session, playbook_id)
    return await report_on(services, document, playbook_id, row.version)

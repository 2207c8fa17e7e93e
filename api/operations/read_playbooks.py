"""Read playbook versions."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from api.models.playbooks import PlaybookListQuery, StepSummary, ValidationReport
from api.operations.read_runs import check_page
from api.operations.validation import report_on
from api.security import Principal
from api.services import Services
from playbooks.document import PlaybookDocument
from playbooks.ids import step_entity_id
from playbooks.lifecycle import PlaybookStatus
from storage import playbooks as rows
from storage.pages import Page
from storage.playbooks import PlaybookFilter, PlaybookRow

_MAX_VERSIONS = 500
_ALL: tuple[PlaybookStatus, ...] = ("draft", "active", "deprecated", "deleted")


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
        every = PlaybookFilter(code=row.code, statuses=_ALL, limit=_MAX_VERSIONS)
        page = await rows.list_versions(session, every)
    return sorted(page.items, key=lambda each: -each.version)


async def validate_stored(services: Services, principal: Principal, playbook_id: UUID) -> ValidationReport:
    """What publishing this version would say. Raises NotFoundError."""
    async with services.database.reading(principal.organization_id) as session:
        row = await rows.get_version(session, playbook_id)
        document = await rows.get_document(session, playbook_id)
    return report_on(services, document, playbook_id, row.version)


async def steps_of_version(services: Services, principal: Principal, playbook_id: UUID) -> list[StepSummary]:
    """The version's steps in order; dependencies are there once the document compiles. Raises NotFoundError."""
    async with services.database.reading(principal.organization_id) as session:
        row = await rows.get_version(session, playbook_id)
        document = await rows.get_document(session, playbook_id)
    report = report_on(services, document, playbook_id, row.version)
    return report.steps or _as_written(document, playbook_id)


def _as_written(document: PlaybookDocument, playbook_id: UUID) -> list[StepSummary]:
    return [
        StepSummary(
            step_id=step_entity_id(playbook_id, step.step_key),
            key=step.step_key,
            name=step.name,
            step_number=step.step_number,
            step_type=step.step_type,
            worker_type=step.worker_type,
            depends_on=[],
        )
        for step in document.ordered_steps
    ]

"""Versions of a playbook: list, make the next draft, compare two."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.responses import Response

from api.http.dependencies import Opened
from api.http.etags import etag_of
from api.http.examples import VersionBody
from api.http.problems import documented
from api.http.schemas import Success
from api.http.security import Manager, Reader
from api.playbooks.operations import create_version
from api.playbooks.read import list_versions
from api.playbooks.schemas import PlaybookView
from api.playbooks.views import playbook_view
from api.versions.operations import compare
from api.versions.schemas import ComparisonView
from api.versions.views import comparison_view

router = APIRouter(prefix="/playbooks", tags=["playbooks"])


@router.get("/{playbook_id}/versions", responses=documented("NOT_FOUND"))
async def versions(playbook_id: UUID, principal: Reader, services: Opened) -> Success[list[PlaybookView]]:
    """All versions of this playbook, newest first."""
    rows = await list_versions(services, principal, playbook_id)
    return Success(data=[playbook_view(row, shows_document=False) for row in rows])


@router.post(
    "/{playbook_id}/versions", status_code=201, responses=documented("NOT_FOUND", "ALREADY_EXISTS", "NOT_SUPPORTED")
)
async def new_version(
    playbook_id: UUID, principal: Manager, services: Opened, response: Response, body: VersionBody = None
) -> Success[PlaybookView]:
    """Make the next version, a draft: with the document given, with that of `base_version` or `from_version_id`, or
    with that of the version asked for. A playbook has one draft at most."""
    row, report = await create_version(services, principal, playbook_id, body or {})
    response.headers["Location"] = f"/api/v1/playbooks/{row.id}"
    response.headers["ETag"] = etag_of(row.revision)
    return Success(data=playbook_view(row, validation=report))


@router.get("/{playbook_id}/versions/compare", responses=documented("NOT_FOUND"))
async def compare_two(
    playbook_id: UUID,
    principal: Reader,
    services: Opened,
    before: Annotated[int | None, Query(alias="from", ge=1, le=1_000_000, description="a version number")] = None,
    after: Annotated[int | None, Query(alias="to", ge=1, le=1_000_000, description="a version number")] = None,
) -> Success[ComparisonView]:
    """What version `to` has otherwise than version `from`: steps, contracts (loosened or tightened), policies. Without
    `to` the version asked for, without `from` the one before that."""
    return Success(data=comparison_view(await compare(services, principal, playbook_id, before, after)))

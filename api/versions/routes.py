"""Versions of a playbook: list, create the next draft, compare two."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.responses import Response

from api.context import Manager, Reader
from api.http.etags import etag_of
from api.http.problems import documented
from api.http.schemas import Success
from api.playbooks.bodies import VersionBody
from api.playbooks.operations import create_version
from api.playbooks.schemas import PlaybookView
from api.playbooks.views import compiled_view, playbook_view
from api.versions.operations import compare, list_versions
from api.versions.schemas import ComparisonView
from api.versions.views import comparison_view

router = APIRouter(prefix="/playbooks", tags=["playbooks"])


@router.get("/{playbook_id}/versions", responses=documented("NOT_FOUND"))
async def versions(playbook_id: UUID, context: Reader) -> Success[list[PlaybookView]]:
    """List all versions of this playbook, newest first."""
    rows = await list_versions(context, playbook_id)
    return Success(data=[playbook_view(row, shows_document=False) for row in rows])


@router.post(
    "/{playbook_id}/versions", status_code=201, responses=documented("NOT_FOUND", "ALREADY_EXISTS", "NOT_SUPPORTED")
)
async def new_version(
    playbook_id: UUID, context: Manager, response: Response, body: VersionBody = None
) -> Success[PlaybookView]:
    """Create the next version, a draft: with the document in the body, with that of `base_version` or
    `from_version_id`, or with that of the version in the path. A playbook has one draft at most."""
    version = await create_version(context, playbook_id, body or {})
    response.headers["Location"] = f"/api/v1/playbooks/{version.row.id}"
    response.headers["ETag"] = etag_of(version.row.revision)
    return Success(data=compiled_view(version))


@router.get("/{playbook_id}/versions/compare", responses=documented("NOT_FOUND"))
async def compare_two(
    playbook_id: UUID,
    context: Reader,
    before: Annotated[int | None, Query(alias="from", ge=1, le=1_000_000, description="a version number")] = None,
    after: Annotated[int | None, Query(alias="to", ge=1, le=1_000_000, description="a version number")] = None,
) -> Success[ComparisonView]:
    """Compare version `to` with version `from`: steps, contracts (loosened or tightened), policies. Without `to` it is
    the version in the path, without `from` the one before that."""
    return Success(data=comparison_view(await compare(context, playbook_id, before, after)))

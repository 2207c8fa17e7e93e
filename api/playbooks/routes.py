"""Playbook versions: create, list, read, change, validate."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.responses import Response

from api.context import Manager, Reader
from api.http.dependencies import IfMatch, IfNoneMatch, Include, included
from api.http.etags import etag_of
from api.http.lists import filters_of, listing
from api.http.problems import NOT_MODIFIED, documented
from api.http.schemas import Listing, Success
from api.playbooks.bodies import ChangeBody, PlaybookBody
from api.playbooks.operations import (
    CompiledVersion,
    change_playbook,
    compile_body,
    compile_version,
    create_playbook,
    list_playbooks,
    read_playbook,
)
from api.playbooks.schemas import PlaybookListQuery, PlaybookView, ValidationReport
from api.playbooks.views import compiled_view, playbook_view, report_view

router = APIRouter(prefix="/playbooks", tags=["playbooks"])

_NEW_VERSION: dict[int | str, dict[str, Any]] = {
    201: {"model": Success[PlaybookView], "description": "The version is locked; this is the next one, a draft."}
}


@router.post("", status_code=201, responses=documented("ALREADY_EXISTS", "NOT_SUPPORTED"))
async def create(body: PlaybookBody, context: Manager, response: Response) -> Success[PlaybookView]:
    """Create a playbook's first version, a draft. `validation` is what publishing it would report."""
    return version_answer(await create_playbook(context, body), response)


@router.get("", responses=documented())
async def list_all(query: Annotated[PlaybookListQuery, Query()], context: Reader) -> Listing[PlaybookView]:
    """List the organization's playbook versions; deleted ones only if `status` asks for them."""
    page = await list_playbooks(context, query.to_filter())
    views = [playbook_view(row, shows_document=False) for row in page.items]
    return listing(page, views, filters_of(query))


@router.post("/validate", responses=documented("NOT_SUPPORTED"))
async def validate(body: PlaybookBody, context: Reader) -> Success[ValidationReport]:
    """Report what publishing this document would report, without storing it."""
    return Success(data=report_view(await compile_body(context, body)))


@router.post("/{playbook_id}/validate", responses=documented("NOT_FOUND"))
async def validate_version(playbook_id: UUID, context: Reader) -> Success[ValidationReport]:
    """Report what publishing this version would report."""
    found = await read_playbook(context, playbook_id)
    return Success(data=report_view(await compile_version(context, found.row)))


@router.get("/{playbook_id}", responses={**documented("NOT_FOUND"), **NOT_MODIFIED})
async def read_one(
    playbook_id: UUID,
    context: Reader,
    response: Response,
    include: Include = None,
    if_none_match: IfNoneMatch = None,
) -> Success[PlaybookView]:
    """Read a version with its document. `include=validation` adds what publishing would report, `include=versions` all
    versions of the playbook."""
    parts = included(include, allowed=("document", "steps", "validation", "versions"))
    found = await read_playbook(context, playbook_id, if_none_match=if_none_match, with_versions="versions" in parts)
    response.headers["ETag"] = etag_of(found.row.revision)
    view = playbook_view(found.row)
    if parts & {"validation", "steps"}:
        view.validation = report_view(await compile_version(context, found.row))
    if "versions" in parts:
        view.versions = [playbook_view(other, shows_document=False) for other in found.versions]
    return Success(data=view)


@router.put(
    "/{playbook_id}",
    responses={
        **documented(
            "NOT_FOUND", "PLAYBOOK_IMMUTABLE", "PRECONDITION_REQUIRED", "PRECONDITION_FAILED", "NOT_SUPPORTED"
        ),
        **_NEW_VERSION,
    },
)
async def change(
    playbook_id: UUID, body: ChangeBody, context: Manager, response: Response, if_match: IfMatch = None
) -> Success[PlaybookView]:
    """Replace a draft's document. Needs the ETag that was read. With `create_new_version` a locked version gets a next
    draft."""
    return version_answer(await change_playbook(context, playbook_id, body, if_match), response)


def version_answer(version: CompiledVersion, response: Response) -> Success[PlaybookView]:
    """Return a created or changed version, with its headers and status."""
    if version.is_new:
        response.status_code = 201
        response.headers["Location"] = f"/api/v1/playbooks/{version.row.id}"
    response.headers["ETag"] = etag_of(version.row.revision)
    return Success(data=compiled_view(version))

"""Author playbooks: create, list, read, change, check."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.responses import Response

from api.http.dependencies import IfMatch, IfNoneMatch, Include, Opened, included
from api.http.etags import etag_of, is_unchanged
from api.http.examples import ChangeBody, PlaybookBody
from api.http.lists import filters_of, listing
from api.http.problems import documented
from api.http.schemas import Listing, Success
from api.http.security import Manager, Reader
from api.playbooks.operations import change_playbook, create_playbook
from api.playbooks.read import list_playbooks, list_versions, read_playbook, validate_stored
from api.playbooks.schemas import PlaybookListQuery, PlaybookView, ValidationReport
from api.playbooks.validation import validate_document
from api.playbooks.views import playbook_view

router = APIRouter(prefix="/playbooks", tags=["playbooks"])

_NEW_VERSION: dict[int | str, dict[str, Any]] = {
    201: {"model": Success[PlaybookView], "description": "The version is locked; this is the next one, a draft."}
}


@router.post("", status_code=201, responses=documented("ALREADY_EXISTS", "NOT_SUPPORTED"))
async def create(body: PlaybookBody, principal: Manager, services: Opened, response: Response) -> Success[PlaybookView]:
    """Make a playbook's first version, a draft. `validation` says what publishing it would answer."""
    row, report = await create_playbook(services, principal, body)
    response.headers["Location"] = f"/api/v1/playbooks/{row.id}"
    response.headers["ETag"] = etag_of(row.revision)
    return Success(data=playbook_view(row, validation=report))


@router.get("", responses=documented())
async def list_all(
    query: Annotated[PlaybookListQuery, Query()], principal: Reader, services: Opened
) -> Listing[PlaybookView]:
    """The organization's playbook versions; deleted ones only when asked for by status."""
    page = await list_playbooks(services, principal, query)
    views = [playbook_view(row, shows_document=False) for row in page.items]
    return listing(page, views, filters_of(query))


@router.post("/validate", responses=documented("NOT_SUPPORTED"))
async def validate(body: PlaybookBody, principal: Reader, services: Opened) -> Success[ValidationReport]:
    """What publishing this document would say, without saving it."""
    return Success(data=await validate_document(services, body))


@router.post("/{playbook_id}/validate", responses=documented("NOT_FOUND"))
async def validate_version(playbook_id: UUID, principal: Reader, services: Opened) -> Success[ValidationReport]:
    """What publishing this version would say."""
    return Success(data=await validate_stored(services, principal, playbook_id))


@router.get(
    "/{playbook_id}",
    response_model=Success[PlaybookView],
    responses={**documented("NOT_FOUND"), 304: {"description": "Not changed since the tag in If-None-Match."}},
)
async def read_one(
    *,
    playbook_id: UUID,
    principal: Reader,
    services: Opened,
    response: Response,
    include: Include = None,
    if_none_match: IfNoneMatch = None,
) -> Success[PlaybookView] | Response:
    """A version with its document. `include=validation` adds what publishing would say, `include=versions` the
    other versions."""
    parts = included(include, known=("document", "steps", "validation", "versions"))
    row = await read_playbook(services, principal, playbook_id)
    tag = etag_of(row.revision)
    if is_unchanged(if_none_match, tag):
        return Response(status_code=304, headers={"ETag": tag})
    response.headers["ETag"] = tag
    view = playbook_view(row)
    if parts & {"validation", "steps"}:
        view.validation = await validate_stored(services, principal, playbook_id)
    if "versions" in parts:
        others = await list_versions(services, principal, playbook_id)
        view.versions = [playbook_view(other, shows_document=False) for other in others]
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
    *,
    playbook_id: UUID,
    body: ChangeBody,
    principal: Manager,
    services: Opened,
    response: Response,
    if_match: IfMatch = None,
) -> Success[PlaybookView]:
    """Replace a draft's document. Needs the ETag that was read. With `create_new_version` a locked version is
    answered with the next draft."""
    row, report, is_new = await change_playbook(services, principal, playbook_id, body, if_match)
    if is_new:
        response.status_code = 201
        response.headers["Location"] = f"/api/v1/playbooks/{row.id}"
    response.headers["ETag"] = etag_of(row.revision)
    return Success(data=playbook_view(row, validation=report))

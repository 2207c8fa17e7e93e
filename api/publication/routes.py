"""Publication of a version: read its status, make or schedule a transition, cancel a scheduled one."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Body, Query
from starlette.responses import Response

from api.context import Authenticated, Reader
from api.http.dependencies import IfMatch
from api.http.etags import etag_of
from api.http.problems import documented
from api.http.schemas import Success
from api.publication import operations
from api.publication.operations import ChangedVersion
from api.publication.schemas import CancelScheduledRequest, PublicationView, TransitionAnswer, TransitionRequest
from api.publication.views import answer_view, publication_view

router = APIRouter(prefix="/playbooks", tags=["playbooks"])


@router.get("/{playbook_id}/publish", responses=documented("NOT_FOUND"))
async def read_publication(playbook_id: UUID, context: Reader) -> Success[PublicationView]:
    """Read the version's status, the actions that it allows, what publishing would report, the scheduled transitions
    and the history."""
    return Success(data=publication_view(await operations.read_publication(context, playbook_id), context.principal))


@router.put(
    "/{playbook_id}/publish",
    responses={
        **documented(
            "NOT_FOUND", "INVALID_ACTION", "INVALID_STATE_TRANSITION", "VALIDATION_FAILED", "PRECONDITION_FAILED"
        ),
        202: {"model": Success[TransitionAnswer], "description": "Scheduled; the version has not changed yet."},
    },
)
async def change_status(
    playbook_id: UUID, request: TransitionRequest, context: Authenticated, response: Response, if_match: IfMatch = None
) -> Success[TransitionAnswer]:
    """Publish, deprecate, reactivate, archive or delete the version, now or at `effective_date`. Archiving needs
    `playbooks:admin`, deleting a draft `playbooks:manage`, the others `playbooks:publish`. With `If-Match` the request
    fails if the version has changed since it was read."""
    transition = request.to_transition(context.principal.actor)
    changed = await operations.change_status(context, playbook_id, transition, if_match)
    if changed.transition.status == "scheduled":
        response.status_code = 202
    return _answer(changed, response)


@router.delete(
    "/{playbook_id}/publish/{transition_id}",
    responses=documented("NOT_FOUND", "ALREADY_CANCELLED", "INVALID_STATE_TRANSITION"),
)
async def cancel_transition(
    *,
    playbook_id: UUID,
    transition_id: UUID,
    context: Authenticated,
    response: Response,
    request: Annotated[CancelScheduledRequest | None, Body()] = None,
    reason: Annotated[str | None, Query(max_length=2000)] = None,
) -> Success[TransitionAnswer]:
    """Cancel a scheduled transition; needs the permission of its action. The reason, in the body or in the query, is
    recorded."""
    if request is not None and request.reason is not None:
        reason = request.reason
    return _answer(await operations.cancel_scheduled(context, playbook_id, transition_id, reason), response)


def _answer(changed: ChangedVersion, response: Response) -> Success[TransitionAnswer]:
    response.headers["ETag"] = etag_of(changed.row.revision)
    return Success(data=answer_view(changed))

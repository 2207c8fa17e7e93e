"""The life cycle of a version."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Body, Query
from starlette.responses import Response

from api.http.dependencies import IfMatch, Opened
from api.http.etags import etag_of
from api.http.problems import documented
from api.http.schemas import Success
from api.http.security import Authenticated, Reader
from api.playbooks.validation import problem_view
from api.playbooks.views import playbook_view
from api.publication.operations import Moved, cancel_scheduled, move
from api.publication.read import publication_of
from api.publication.schemas import (
    CancelledRuns,
    CancelScheduledRequest,
    PublicationView,
    TransitionAnswer,
    TransitionRequest,
)
from api.publication.views import effect_views, transition_view

router = APIRouter(prefix="/playbooks", tags=["playbooks"])


@router.get("/{playbook_id}/publish", responses=documented("NOT_FOUND"))
async def read_publication(playbook_id: UUID, principal: Reader, services: Opened) -> Success[PublicationView]:
    """Where the version stands, what may be done with it now, what publishing would say, what is scheduled, and its
    history."""
    return Success(data=await publication_of(services, principal, playbook_id))


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
    *,
    playbook_id: UUID,
    request: TransitionRequest,
    principal: Authenticated,
    services: Opened,
    response: Response,
    if_match: IfMatch = None,
) -> Success[TransitionAnswer]:
    """Publish, deprecate, reactivate, archive or delete the version, now or at `effective_date`. Archiving needs
    `playbooks:admin`, deleting a draft `playbooks:manage`, the others `playbooks:publish`. With `If-Match` it is done
    only to the revision that was read."""
    moved = await move(services, principal, playbook_id, request, if_match)
    if moved.transition.status == "scheduled":
        response.status_code = 202
    return _answer(moved, response)


@router.delete(
    "/{playbook_id}/publish/{transition_id}",
    responses=documented("NOT_FOUND", "ALREADY_CANCELLED", "INVALID_STATE_TRANSITION"),
)
async def cancel_transition(
    *,
    playbook_id: UUID,
    transition_id: UUID,
    principal: Authenticated,
    services: Opened,
    response: Response,
    request: Annotated[CancelScheduledRequest | None, Body()] = None,
    reason: Annotated[str | None, Query(max_length=2000)] = None,
) -> Success[TransitionAnswer]:
    """Cancel a scheduled transition; needs the permission that its action needs. The reason, in the body or in the
    query, is recorded."""
    given = request.reason if request is not None and request.reason is not None else reason
    return _answer(await cancel_scheduled(services, principal, playbook_id, transition_id, given), response)


def _answer(moved: Moved, response: Response) -> Success[TransitionAnswer]:
    response.headers["ETag"] = etag_of(moved.row.revision)
    cancels = moved.cancels
    answer = TransitionAnswer(
        playbook=playbook_view(moved.row, shows_document=False),
        transition=transition_view(moved.transition, moved.row),
        warnings=[problem_view(each) for each in moved.warnings],
        side_effects=effect_views(moved.effects),
    )
    if cancels is not None:
        answer.cancelled_runs = CancelledRuns(
            count=moved.live_runs, cancelled=cancels.cancelled, asked=cancels.asked, pending=cancels.pending
        )
    return Success(data=answer)

"""The life cycle of a version."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from api.dependencies import Opened
from api.etags import etag_of
from api.models.common import Success
from api.models.playbooks import PublicationView, TransitionAnswer, TransitionRequest
from api.operations.publication import publication_of, transition
from api.problems import documented
from api.security import Authenticated, Reader
from api.views.playbooks import playbook_view

router = APIRouter(prefix="/playbooks", tags=["playbooks"])


@router.get("/{playbook_id}/publish", responses=documented("NOT_FOUND"))
async def read_publication(playbook_id: UUID, principal: Reader, services: Opened) -> Success[PublicationView]:
    """Where the version stands, what may be done with it now, what publishing would say, and its history."""
    return Success(data=await publication_of(services, principal, playbook_id))


@router.put(
    "/{playbook_id}/publish",
    responses=documented(
        "NOT_FOUND", "INVALID_ACTION", "INVALID_STATE_TRANSITION", "VALIDATION_FAILED", "NOT_SUPPORTED"
    ),
)
async def change_status(
    playbook_id: UUID, request: TransitionRequest, principal: Authenticated, services: Opened, response: Response
) -> Success[TransitionAnswer]:
    """Publish, deprecate, reactivate or archive the version. Archiving needs `playbooks:admin`, deleting a draft
    `playbooks:manage`, the others `playbooks:publish`."""
    row, warnings = await transition(services, principal, playbook_id, request)
    response.headers["ETag"] = etag_of(row.revision)
    return Success(data=TransitionAnswer(playbook=playbook_view(row, shows_document=False), warnings=warnings))

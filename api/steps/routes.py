"""Steps of a version: read with their flow, add, replace, remove."""

from __future__ import annotations

from typing import Annotated, TypeAlias
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.responses import Response

from api.http.dependencies import IfMatch, IfNoneMatch, Opened
from api.http.etags import etag_of, is_unchanged
from api.http.examples import AddStepsBody, StepBody
from api.http.problems import documented
from api.http.security import Manager, Reader
from api.playbooks.views import playbook_view
from api.steps import operations
from api.steps.operations import StepsChange
from api.steps.schemas import StepsAnswer, StepsChanged, StepsChangedMetadata, StepsMetadata
from api.steps.views import StepParts

router = APIRouter(prefix="/playbooks", tags=["playbooks"])

_CHANGES = ("NOT_FOUND", "ALREADY_EXISTS", "PLAYBOOK_IMMUTABLE", "PRECONDITION_FAILED")
_ONE = (*_CHANGES, "PRECONDITION_REQUIRED", "INVALID_STEP_STATE")
_NEW_VERSION = {201: {"model": StepsChanged, "description": "The version is locked; this is the next one, a draft."}}

_Flag: TypeAlias = Annotated[bool, Query()]


@router.get(
    "/{playbook_id}/steps",
    response_model=StepsAnswer,
    responses={**documented("NOT_FOUND"), 304: {"description": "Not changed since the tag in If-None-Match."}},
)
async def list_all(
    *,
    playbook_id: UUID,
    principal: Reader,
    services: Opened,
    response: Response,
    include_contracts: _Flag = False,
    include_relationships: _Flag = False,
    include_validation: _Flag = False,
    if_none_match: IfNoneMatch = None,
) -> StepsAnswer | Response:
    """The version's steps in order, with what each waits for; `metadata.flow` has the stages, parallel groups, the
    critical path and what can never run."""
    wanted = StepParts(contracts=include_contracts, relationships=include_relationships, validation=include_validation)
    found = await operations.read_steps(services, principal, playbook_id, wanted)
    tag = etag_of(found.row.revision)
    if is_unchanged(if_none_match, tag):
        return Response(status_code=304, headers={"ETag": tag})
    response.headers["ETag"] = tag
    report = found.report if include_validation else None
    metadata = StepsMetadata(playbook_id=playbook_id, version=found.row.version, flow=found.flow, validation=report)
    return StepsAnswer(data=found.steps, metadata=metadata)


@router.post("/{playbook_id}/steps", status_code=201, responses=documented(*_CHANGES, "NOT_SUPPORTED"))
async def add(
    *,
    playbook_id: UUID,
    principal: Manager,
    services: Opened,
    response: Response,
    body: AddStepsBody = None,
    if_match: IfMatch = None,
) -> StepsChanged:
    """Add steps to a draft: at the end, behind a step (later steps and what names them by number are renumbered), or
    in place of all. With `create_new_version` a locked version is answered with the next draft. With `If-Match` only
    if nobody changed it meanwhile."""
    change = await operations.add_steps(services, principal, playbook_id, body, if_match)
    response.headers["Location"] = f"/api/v1/playbooks/{change.row.id}/steps"
    return _answer(change, response)


@router.put("/{playbook_id}/steps/{number}", responses={**documented(*_ONE, "NOT_SUPPORTED"), **_NEW_VERSION})
async def change(
    *,
    playbook_id: UUID,
    number: int,
    principal: Manager,
    services: Opened,
    response: Response,
    body: StepBody = None,
    if_match: IfMatch = None,
) -> StepsChanged:
    """Replace the step with this number. Needs the ETag that was read. Its key stays while others name it."""
    changed = await operations.replace_step(
        services=services,
        principal=principal,
        playbook_id=playbook_id,
        number=number,
        body=body,
        if_match=if_match,
    )
    return _answer(changed, response)


@router.delete("/{playbook_id}/steps/{number}", responses={**documented(*_ONE), **_NEW_VERSION})
async def remove(
    *,
    playbook_id: UUID,
    number: int,
    principal: Manager,
    services: Opened,
    response: Response,
    renumber: _Flag = False,
    create_new_version: _Flag = False,
    if_match: IfMatch = None,
) -> StepsChanged:
    """Remove the step with this number. Needs the ETag that was read. Refused while others name the step. With
    `renumber` the later steps move down by one."""
    changed = await operations.remove_step(
        services=services,
        principal=principal,
        playbook_id=playbook_id,
        number=number,
        renumber=renumber,
        makes_new=create_new_version,
        if_match=if_match,
    )
    return _answer(changed, response)


def _answer(change: StepsChange, response: Response) -> StepsChanged:
    if change.is_new:
        response.status_code = 201
        response.headers["Location"] = f"/api/v1/playbooks/{change.row.id}"
    response.headers["ETag"] = etag_of(change.row.revision)
    return StepsChanged(
        data=playbook_view(change.row, validation=change.report),
        metadata=StepsChangedMetadata(is_new_version=change.is_new, flow=change.flow),
    )

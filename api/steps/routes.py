"""Steps of a version: read, add, replace, remove."""

from __future__ import annotations

from typing import Annotated, TypeAlias
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.responses import Response

from api.context import Manager, Reader
from api.http.dependencies import IfMatch, IfNoneMatch
from api.http.etags import etag_of
from api.http.problems import NOT_MODIFIED, documented
from api.playbooks.views import compiled_view, report_view
from api.steps import operations
from api.steps.bodies import AddStepsBody, StepBody
from api.steps.operations import ChangedSteps, Precondition
from api.steps.schemas import StepsAnswer, StepsChanged, StepsChangedMetadata, StepsMetadata
from api.steps.views import StepParts, step_views

router = APIRouter(prefix="/playbooks", tags=["playbooks"])

_CHANGES = ("NOT_FOUND", "ALREADY_EXISTS", "PLAYBOOK_IMMUTABLE", "PRECONDITION_FAILED")
_ONE = (*_CHANGES, "PRECONDITION_REQUIRED", "INVALID_STEP_STATE")
_NEW_VERSION = {201: {"model": StepsChanged, "description": "The version is locked; this is the next one, a draft."}}

_Flag: TypeAlias = Annotated[bool, Query()]


@router.get("/{playbook_id}/steps", responses={**documented("NOT_FOUND"), **NOT_MODIFIED})
async def list_all(
    *,
    playbook_id: UUID,
    context: Reader,
    response: Response,
    include_contracts: _Flag = False,
    include_relationships: _Flag = False,
    include_validation: _Flag = False,
    if_none_match: IfNoneMatch = None,
) -> StepsAnswer:
    """Read the version's steps in order, with the dependencies of each. `metadata.flow` has the stages, parallel
    groups, the critical path and the steps that can never run."""
    found = await operations.read_steps(context, playbook_id, if_none_match)
    response.headers["ETag"] = etag_of(found.row.revision)
    report = report_view(found.compiled).model_copy(update={"steps": []}) if include_validation else None
    metadata = StepsMetadata(playbook_id=playbook_id, version=found.row.version, flow=found.flow, validation=report)
    parts = StepParts(contracts=include_contracts, relationships=include_relationships, validation=include_validation)
    return StepsAnswer(data=step_views(found, parts), metadata=metadata)


@router.post("/{playbook_id}/steps", status_code=201, responses=documented(*_CHANGES, "NOT_SUPPORTED"))
async def add(
    playbook_id: UUID,
    context: Manager,
    response: Response,
    body: AddStepsBody = None,
    if_match: IfMatch = None,
) -> StepsChanged:
    """Add steps to a draft: at the end, after a step (later steps and references to them by number are renumbered), or
    in place of all. With `create_new_version` a locked version gets a next draft. With `If-Match` the request fails if
    the draft has changed since."""
    changed = await operations.add_steps(context, playbook_id, body, if_match)
    response.headers["Location"] = f"/api/v1/playbooks/{changed.version.row.id}/steps"
    return _answer(changed, response)


@router.put("/{playbook_id}/steps/{number}", responses={**documented(*_ONE, "NOT_SUPPORTED"), **_NEW_VERSION})
async def change(
    *,
    playbook_id: UUID,
    number: int,
    context: Manager,
    response: Response,
    body: StepBody = None,
    if_match: IfMatch = None,
) -> StepsChanged:
    """Replace the step with this number. Needs the ETag that was read. Its key must stay while other steps refer to
    it."""
    return _answer(await operations.replace_step(context, playbook_id, number, body, if_match), response)


@router.delete("/{playbook_id}/steps/{number}", responses={**documented(*_ONE), **_NEW_VERSION})
async def remove(
    *,
    playbook_id: UUID,
    number: int,
    context: Manager,
    response: Response,
    renumber: _Flag = False,
    create_new_version: _Flag = False,
    if_match: IfMatch = None,
) -> StepsChanged:
    """Remove the step with this number. Needs the ETag that was read. Refused while other steps refer to it. With
    `renumber` the numbers of later steps decrease by one."""
    condition = Precondition(if_match=if_match, is_required=True, creates_version=create_new_version)
    changed = await operations.remove_step(context, playbook_id, number, condition, renumber=renumber)
    return _answer(changed, response)


def _answer(changed: ChangedSteps, response: Response) -> StepsChanged:
    version = changed.version
    if version.is_new:
        response.status_code = 201
        response.headers["Location"] = f"/api/v1/playbooks/{version.row.id}"
    response.headers["ETag"] = etag_of(version.row.revision)
    return StepsChanged(
        data=compiled_view(version), metadata=StepsChangedMetadata(is_new_version=version.is_new, flow=changed.flow)
    )

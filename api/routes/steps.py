"""Steps of a version. Reading is built; changing single steps comes later, but a locked version says so already."""

from __future__ import annotations

from typing import NoReturn
from uuid import UUID

from fastapi import APIRouter

from api.dependencies import IfMatch, Opened
from api.models.common import Success
from api.models.playbooks import StepSummary
from api.operations.playbooks import locked
from api.operations.read_playbooks import read_playbook, steps_of_version
from api.problems import documented
from api.routes.bodies import StepBody
from api.security import Manager, Principal, Reader
from api.services import Services
from playbooks.errors import NotSupportedError, Problem
from playbooks.lifecycle import is_locked

router = APIRouter(prefix="/playbooks", tags=["playbooks"])

_REFUSALS = documented("NOT_FOUND", "PLAYBOOK_IMMUTABLE", "NOT_SUPPORTED")


@router.get("/{playbook_id}/steps", responses=documented("NOT_FOUND"))
async def list_all(playbook_id: UUID, principal: Reader, services: Opened) -> Success[list[StepSummary]]:
    """The version's steps in order, with what each waits for."""
    return Success(data=await steps_of_version(services, principal, playbook_id))


@router.post("/{playbook_id}/steps", responses=_REFUSALS)
async def add(playbook_id: UUID, principal: Manager, services: Opened, body: StepBody = None) -> None:
    """Add steps to a draft. Not built yet: change the whole document with `PUT /playbooks/{id}`."""
    await _refuse(services, principal, playbook_id)


@router.put("/{playbook_id}/steps/{number}", responses=_REFUSALS)
async def change(
    *,
    playbook_id: UUID,
    number: int,
    principal: Manager,
    services: Opened,
    body: StepBody = None,
    if_match: IfMatch = None,
) -> None:
    """Change a step of a draft. Not built yet: change the whole document with `PUT /playbooks/{id}`."""
    await _refuse(services, principal, playbook_id)


@router.delete("/{playbook_id}/steps/{number}", responses=_REFUSALS)
async def remove(
    playbook_id: UUID, number: int, principal: Manager, services: Opened, if_match: IfMatch = None
) -> None:
    """Remove a step of a draft. Not built yet: change the whole document with `PUT /playbooks/{id}`."""
    await _refuse(services, principal, playbook_id)


async def _refuse(services: Services, principal: Principal, playbook_id: UUID) -> NoReturn:
    row = await read_playbook(services, principal, playbook_id)
    if is_locked(row.status):
        raise locked(row)
    message = "single steps cannot be changed yet; change the whole document with PUT /playbooks/{id}"
    raise NotSupportedError(message, (Problem(pointer="", code="NOT_SUPPORTED", message=message),))

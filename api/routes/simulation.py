"""Play a playbook version through, without effects."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter

from api.dependencies import Opened
from api.models.common import Success
from api.models.simulation import SimulateRequest, SimulationView
from api.operations.simulate import simulate_version
from api.problems import documented
from api.security import Reader
from api.views.simulation import simulation_view

router = APIRouter(prefix="/playbooks", tags=["playbooks"])


@router.post(
    "/{playbook_id}/simulate", responses=documented("NOT_FOUND", "INPUT_VALIDATION_ERROR", "VALIDATION_FAILED")
)
async def simulate(
    playbook_id: UUID, request: SimulateRequest, principal: Reader, services: Opened
) -> Success[SimulationView]:
    """Run this version, a draft's too, by the same rules as a real run, with given or generated results in place of
    every effect, on a clock that does not wait. Nothing is stored."""
    simulation = await simulate_version(services, principal, playbook_id, request)
    return Success(data=simulation_view(simulation, principal))

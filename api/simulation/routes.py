"""Play a playbook version through, without effects."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter

from api.http.dependencies import Opened
from api.http.problems import documented
from api.http.schemas import Success
from api.http.security import Reader
from api.simulation.operations import simulate_version
from api.simulation.schemas import SimulateRequest, SimulationView
from api.simulation.views import simulation_view

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

"""Simulate a run of a playbook version."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter

from api.context import Reader
from api.http.problems import documented
from api.http.schemas import Success
from api.simulation.operations import simulate_version
from api.simulation.schemas import SimulateRequest, SimulationView
from api.simulation.views import simulation_view

router = APIRouter(prefix="/playbooks", tags=["playbooks"])


@router.post(
    "/{playbook_id}/simulate", responses=documented("NOT_FOUND", "INPUT_VALIDATION_ERROR", "VALIDATION_FAILED")
)
async def simulate(playbook_id: UUID, request: SimulateRequest, context: Reader) -> Success[SimulationView]:
    """Simulate a run of this version, also of a draft, by the rules of a real run: given or generated results replace
    all work, and a virtual clock replaces waiting. Nothing is stored."""
    simulation = await simulate_version(context, playbook_id, request.to_parameters())
    return Success(data=simulation_view(simulation, context.principal))

"""Start a run of a playbook version."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from api.context import Executor
from api.http.dependencies import IdempotencyKey
from api.http.problems import documented
from api.http.schemas import Metadata, Success
from api.runs.schemas import ExecuteRequest, RunView
from api.runs.start import execute_playbook
from api.runs.views import run_view
from api.simulation.operations import simulate_version
from api.simulation.schemas import SimulationView
from api.simulation.views import simulation_view

router = APIRouter(prefix="/playbooks", tags=["runs"])


@router.post(
    "/{playbook_id}/execute",
    status_code=201,
    responses={
        **documented(
            "NOT_FOUND",
            "INVALID_PLAYBOOK_STATUS",
            "INPUT_VALIDATION_ERROR",
            "IDEMPOTENCY_KEY_REUSED",
            "DUPLICATE_EXECUTION",
        ),
        200: {"model": Success[SimulationView], "description": "Simulated: nothing was stored."},
        202: {"model": Success[RunView], "description": "Accepted and stored; it starts when Temporal is back."},
    },
    response_model=Success[RunView],
)
async def execute(
    *,
    playbook_id: UUID,
    request: ExecuteRequest,
    context: Executor,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> Success[RunView] | Response:
    """Validate the input, store the run and start it. A repeat with the same Idempotency-Key returns the first run.
    With `execution_mode: simulation` the run is simulated and nothing is stored: 200."""
    if request.execution_options.execution_mode == "simulation":
        parameters = request.to_simulation().to_parameters()
        simulation = await simulate_version(context, playbook_id, parameters, only_active=True)
        return JSONResponse(Success(data=simulation_view(simulation, context.principal)).model_dump(mode="json"))
    started = await execute_playbook(context, playbook_id, request, idempotency_key)
    response.status_code = 201 if started.is_started else 202
    response.headers["Location"] = f"/api/v1/playbooks/runs/{started.row.execution_id}"
    if not started.is_started:
        response.headers["Retry-After"] = "5"
    if started.is_repeat:
        response.headers["Idempotency-Replayed"] = "true"
    view = run_view(started.row, context.principal)
    return Success(data=view, metadata=Metadata.model_validate({"is_repeat": started.is_repeat}))

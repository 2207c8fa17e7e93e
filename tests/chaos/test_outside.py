"""Somebody terminates, deletes, cancels and resets workflows from outside, under load; other runs never notice."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Generator
from random import Random
from uuid import uuid4

import pytest
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest, ResetWorkflowExecutionRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from tests.chaos.comparing import temporal_of
from tests.chaos.crowd import Crowd
from tests.chaos.judge import Watch, all_ended, assert_sound, watching
from tests.chaos.scene import Place, running_place, until_in_mid_step
from tests.support.waiting import eventually

pytestmark = pytest.mark.soak
RUNS = 100
EACH = 8
# A terminated run may have written its end already, a deleted one is seen as terminated or not at all.
ENDS = {
    "terminate": {"cancelled", "completed"},
    "delete": {"failed", "cancelled", "completed"},
    "cancel": {"cancelled", "completed"},
    "reset": {"completed"},
}


@pytest.fixture(scope="module")
def place() -> Generator[Place]:
    with running_place() as running:
        yield running


async def test_other_runs_go_on_when_workflows_are_taken_from_outside(place: Place) -> None:
    crowd = await place.crowd("outside")
    client = await temporal_of(place.stack)
    rng = Random(crowd.rng.random())
    spoiled: dict[str, str] = {}
    async with watching(crowd) as watch, crowd.at_work():
        offering = asyncio.create_task(crowd.offer(RUNS, over=8.0))
        await until_in_mid_step(crowd)
        for turn in range(EACH):
            for deed in ENDS:
                # Every other one has rows already; one that has not flushed yet still looks as if it had never started.
                victims = await _someone_in_mid_step(crowd, watch, spoiled, has_flushed=turn % 2 == 0)
                victim = rng.choice(victims)
                if await _do(client, deed, crowd.workflow_of(victim), rng):
                    spoiled[victim] = deed
        await offering
        await all_ended(crowd, watch, 120)
    ends = {run: ENDS[deed] for run, deed in spoiled.items()}
    ends_by_deed = sorted((deed, watch.now[run][1]) for run, deed in spoiled.items())
    print(f"outside: {len(spoiled)} of {len(crowd.accepted)} runs taken in mid-step: {ends_by_deed}")
    assert set(spoiled.values()) == set(ENDS), "each must have been done"
    assert len({run for run, deed in spoiled.items() if watch.now[run][1] == "cancelled"}) > EACH
    await asyncio.to_thread(assert_sound, crowd, watch, spoiled=ends)


async def _someone_in_mid_step(crowd: Crowd, watch: Watch, spoiled: Collection[str], *, has_flushed: bool) -> list[str]:
    def found() -> list[str]:
        able = {run for run, (version, _) in watch.now.items() if version > 0 or not has_flushed}
        return sorted((crowd.runs_in_mid_step() & able) - set(spoiled))

    return await eventually(found)


async def _do(client: Client, deed: str, workflow: str, rng: Random) -> bool:
    """False where the run had ended just before."""
    handle = client.get_workflow_handle(workflow)
    execution = WorkflowExecution(workflow_id=workflow)
    try:
        if deed == "terminate":
            await handle.terminate(reason="chaos")
        elif deed == "cancel":
            await handle.cancel()
        elif deed == "delete":
            request = DeleteWorkflowExecutionRequest(namespace=client.namespace, workflow_execution=execution)
            await client.workflow_service.delete_workflow_execution(request)
        else:
            await client.workflow_service.reset_workflow_execution(
                ResetWorkflowExecutionRequest(
                    namespace=client.namespace,
                    workflow_execution=execution,
                    reason="chaos",
                    request_id=str(uuid4()),
                    workflow_task_finish_event_id=rng.choice(
                        [
                            event.event_id
                            async for event in handle.fetch_history_events()
                            if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
                        ]
                    ),
                )
            )
    except RPCError as error:
        if error.status in (RPCStatusCode.NOT_FOUND, RPCStatusCode.INVALID_ARGUMENT):
            return False
        raise
    return True

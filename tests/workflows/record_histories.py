"""Records one history per scenario for the replay tests, on a server of its own, with the plain converter.

Run `python -m tests.workflows.record_histories --anew` after a change that gives runs another history, while nothing is
released. After a release a recorded file represents runs that are still live and is never written again: without
`--anew` only the missing files `tests/histories/v{ENGINE_VERSION}-{scenario}.json` are written.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

from temporalio.client import Client, WorkflowFailureError
from temporalio.contrib.pydantic import pydantic_data_converter

from playbooks.common.values import Json, JsonObject, StepError
from playbooks.engine.model.plan import ApprovalPlan, RetryPolicy
from playbooks.engine.model.temporal_messages import ENGINE_VERSION, StepOutcome
from tests.support.plans import effect, human, plan_of, step
from tests.support.servers import running_temporal, scratch_folder
from tests.support.waiting import eventually
from tests.workflows import flow_scenarios
from tests.workflows.playing import Handle, Stage, update, vote

FOLDER = Path(__file__).parents[1] / "histories"
Scenario: TypeAlias = Callable[[Stage], Awaitable[Handle]]
_QUICK = RetryPolicy(max_retries=2, initial_delay_ms=10)


def _failed(code: str = "HTTP_500") -> StepOutcome:
    return StepOutcome(status="failed", error=StepError(kind="network", code=code, message="it failed"))


async def straight(stage: Stage) -> Handle:
    """Pure steps, an effect, an output; no people."""
    return await stage.start(plan_of(step("a", 1), effect("b", 2, after=("a",)), step("c", 3, after=("b",))))


async def approval(stage: Stage) -> Handle:
    """Two of three approve; refused votes, malformed signals, and a claim between."""
    rules = ApprovalPlan(threshold=2, max_voters=3, self_approval=False)
    handle = await stage.start(plan_of(human("h", 1, approval=rules), step("b", 2, after=("h",))))
    await eventually(lambda: stage.world.tasks)
    await handle.signal("decide", "nonsense")
    await handle.signal("frobnicate")
    await update(handle, "claim", {"step": "h", "actor": {"sub": "anna", "roles": ["approver"]}})
    await update(handle, "decide", vote("h", "anna"))
    await update(handle, "decide", vote("h", "anna"))
    await handle.signal("decide", vote("h", "ben"))
    return handle


async def retries(stage: Stage) -> Handle:
    """Failed attempts of a pure step and of an effect, one that could not begin, one that is not critical."""
    stage.world.scripts["a"] = [_failed(), StepOutcome(status="succeeded")]
    stage.world.scripts["b"] = [_failed(), _failed("NOT_STARTED"), StepOutcome(status="succeeded")]
    stage.world.scripts["c"] = [_failed()]
    return await stage.start(
        plan_of(
            step("a", 1, retry=_QUICK),
            effect("b", 2, after=("a",), retry=_QUICK),
            effect("c", 3, after=("b",), critical=False, retry=RetryPolicy(max_retries=0)),
        )
    )


async def pause(stage: Stage) -> Handle:
    """Paused with an attempt running and a vote kept, then resumed."""
    gate = stage.world.gate("a")
    handle = await stage.start(plan_of(effect("a", 1), human("h", 2), step("b", 3, after=("a", "h"))))
    await eventually(lambda: stage.world.tasks)
    await update(handle, "pause", {"reason": "lunch"})
    await update(handle, "decide", vote("h", "anna"))
    gate.set()
    await eventually(
        lambda: any(
            line.key == "a" and line.status == "completed" for flush in stage.world.flushes for line in flush.steps
        )
    )
    await update(handle, "resume")
    return handle


async def parallel(stage: Stage) -> Handle:
    """A group of effects, one fails for good: the others are cancelled and the run fails."""
    stage.world.gate("b")
    stage.world.scripts["a"] = [_failed()]
    plan = plan_of(effect("a", 1, retry=RetryPolicy(max_retries=0)), effect("b", 2), step("c", 3, after=("a", "b")))
    return await stage.start(plan, notification={"on_completion": True})


async def cancelled(stage: Stage) -> Handle:
    """Cancelled by a message while a task is open."""
    handle = await stage.start(plan_of(human("h", 1), step("b", 2, after=("h",))), timeout_minutes=60.0)
    await eventually(lambda: stage.world.tasks)
    await update(handle, "cancel_run", {"reason": "no money"})
    return handle


async def conditions(stage: Stage) -> Handle:
    """Skipped by a condition in each carrier; a review of an AI's answer."""
    stage.world.prepared["b"] = stage.world.prepared["c"] = StepOutcome(status="skipped", reason="no")
    stage.world.scripts["a"] = [StepOutcome(status="skipped", reason="no")]
    stage.world.scripts["d"] = [StepOutcome(status="succeeded", output={"n": 1}, confidence=0.2, needs_review=True)]
    handle = await stage.start(
        plan_of(
            step("a", 1, has_condition=True),
            effect("b", 2, after=("a",), has_condition=True),
            human("c", 3, after=("b",), has_condition=True),
            effect("d", 4, after=("c",), step_type="ai", worker_type="scripted", required_roles=("approver",)),
        ),
        debug=True,
    )
    await eventually(lambda: stage.world.tasks)
    await update(handle, "decide", vote("d", "anna", data={"n": 2}))
    return handle


async def last_task(stage: Stage) -> Handle:
    """Messages that come while the last flush is on its way."""
    gate = stage.world.gate("flush:completed")
    handle = await stage.start(plan_of(step("a", 1)))
    await eventually(lambda: stage.world.flushes and stage.world.flushes[-1].run.status == "completed")
    await handle.signal("decide", vote("a", "anna"))
    await update(handle, "pause")
    gate.set()
    return handle


SCENARIOS: dict[str, Scenario] = {
    "straight": straight,
    "approval": approval,
    "retries": retries,
    "pause": pause,
    "parallel": parallel,
    "cancelled": cancelled,
    "conditions": conditions,
    "last-task": last_task,
    "loops": flow_scenarios.loops,
    "joins": flow_scenarios.joins,
    "signals": flow_scenarios.signals,
    "ways-back": flow_scenarios.ways_back,
    "undone": flow_scenarios.undone,
    "children": flow_scenarios.children,
    "turns": flow_scenarios.turns,
}


def file_of(scenario: str, version: int = ENGINE_VERSION) -> Path:
    """Path of a scenario's history for this engine version."""
    return FOLDER / f"v{version}-{scenario}.json"


async def record(client: Client, scenario: str) -> str:
    """Play a scenario to its end and answer its history as JSON."""
    stage = Stage(client=client)
    async with stage.worker():
        handle = await SCENARIOS[scenario](stage)
        try:
            await handle.result()
        except WorkflowFailureError as failure:
            print(f"{scenario}: ended as {failure.cause!r}")
        return _without_traces(json.loads((await handle.fetch_history()).to_json()))


def _without_traces(history: JsonObject) -> str:
    """Stack traces name the recording machine's folders and mean nothing to a replay."""
    stack: list[Json] = [history]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            item.pop("stackTrace", None)
        if isinstance(item, dict | list):
            stack.extend(item.values() if isinstance(item, dict) else item)
    return json.dumps(history, indent=1)


async def main(*, anew: bool) -> None:
    """Record every scenario, or those that have no file yet."""
    FOLDER.mkdir(exist_ok=True)
    with scratch_folder() as folder, running_temporal(folder) as server:
        client = await Client.connect(server.address, data_converter=pydantic_data_converter, identity="recorder")
        for scenario in SCENARIOS:
            path = file_of(scenario)
            if path.exists() and not anew:
                continue
            path.write_text(await record(client, scenario) + "\n")
            print(f"wrote {path.name}")


if __name__ == "__main__":
    asyncio.run(main(anew="--anew" in sys.argv))

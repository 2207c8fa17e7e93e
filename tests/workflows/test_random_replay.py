"""Random runs replay: plans, outcomes and messages from a seed, with every size of the workflow cache.

The SDK's replay is what this looks at: local activities beside regular ones, timers, signals, updates and queries that
end a workflow task early. 100 runs in `make test`, 500 more in `make soak`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from uuid import UUID, uuid4

import pytest
from temporalio.api.enums.v1 import EventType, WorkflowTaskFailedCause
from temporalio.api.history.v1 import WorkflowTaskFailedEventAttributes
from temporalio.client import WorkflowFailureError, WorkflowHistory
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from playbooks.common.values import FINISHED_RUN, Json, JsonObject
from playbooks.engine.model.plan import Plan
from playbooks.engine.model.temporal_messages import (
    AcquireCall,
    ChildCall,
    ConcurrencyLimit,
    LoopCall,
    ParentRun,
    StepCall,
    StepOutcome,
)
from runtime.replay_safe_runner import TIMED_OUT
from tests.support.random_plans import random_end_of_child, random_message, random_outcome, random_plan
from tests.workflows.playing import SIGNED, Handle, Stage, replayer, state_of, update
from tests.workflows.short_lived import ShortLivedRunWorkflow
from workflows.playbook_run import PlaybookRunWorkflow

TASK_FAILED = EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED
UNHANDLED_COMMAND = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND


class Players:
    """Plays random runs on one stage: random plans, outcomes and messages, everything from the run's seed."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._runs: dict[UUID, tuple[Plan, Random]] = {}
        stage.world.answer = self._answer
        stage.world.prepare = self._prepare
        stage.world.holds = self._holds
        stage.world.ends = self._ends
        stage.world.frees = self._frees
        stage.world.writes_carried = lambda rows: self._runs[rows.execution_id][1].random() < 0.5

    def _answer(self, call: StepCall) -> StepOutcome:
        plan, rng = self._runs[call.execution_id]
        return random_outcome(rng, plan.step(call.step))

    def _holds(self, call: LoopCall) -> bool:
        return self._runs[call.execution_id][1].random() < 0.4

    def _ends(self, call: ChildCall) -> StepOutcome:
        return random_end_of_child(self._runs[call.execution_id][1])

    def _frees(self, call: AcquireCall) -> bool:
        return self._runs[call.execution_id][1].random() < 0.5

    def _prepare(self, call: StepCall) -> StepOutcome:
        plan, rng = self._runs[call.execution_id]
        if call.opens_loop:
            items: list[Json] = list(range(rng.randint(0, 4)))
            return StepOutcome(status="ready", items=items, item_count=len(items))
        is_skipped = plan.step(call.step).has_condition and rng.random() < 0.2
        return StepOutcome(status="skipped" if is_skipped else "ready", input={}, elapsed_ms=rng.choice([0, 200]))

    async def play(self, seed: int) -> Handle:
        """Play one run to its end."""
        rng, execution = Random(seed), uuid4()
        plan = random_plan(rng, max_steps=5, has_clocks=False)
        self._runs[execution] = (plan, Random(seed + 1))
        slot = ConcurrencyLimit(label="key", max_runs=1) if seed % 4 == 0 else None
        parent = ParentRun(execution_id=uuid4(), step="s1", visit=1, depth=1) if seed % 5 == 0 else None
        handle = await self._stage.start(
            plan,
            execution_id=execution,
            debug=seed % 3 == 0,
            task_timeout=timedelta(seconds=2),
            slot=slot,
            parent=parent,
        )
        try:
            for _ in range(rng.randint(0, 8)):
                await asyncio.sleep(rng.choice([0, 0, 0.01, 0.05]))
                await self._send(handle, rng, *random_message(rng, plan))
            while await self._help(handle, rng, execution):
                await asyncio.sleep(0.2)
        except RPCError:
            # The run ended while messages were still sent.
            pass
        try:
            await handle.result()
        except WorkflowFailureError as failure:
            assert isinstance(failure.cause, ApplicationError)
        return handle

    async def _send(self, handle: Handle, rng: Random, verb: str, body: JsonObject) -> None:
        roll = rng.random()
        if roll < 0.1:
            await handle.signal(verb, "nonsense")
        elif roll < 0.2:
            # A query ends the workflow task early, with a local activity in flight.
            await state_of(handle)
        elif roll < 0.5:
            await handle.signal(verb, body)
        else:
            await update(handle, verb, body)

    async def _help(self, handle: Handle, rng: Random, execution: UUID) -> bool:
        """Send the messages that a run waits for; false when it is over."""
        flushes = [call for call in self._stage.world.flushes if call.execution_id == execution]
        if flushes and flushes[-1].run.status in FINISHED_RUN:
            return False
        if flushes and flushes[-1].run.pause is not None:
            await handle.signal("resume")
        if flushes and flushes[-1].run.waiting_for is not None:
            await handle.signal("concurrency_free", SIGNED)
        steps = {line.key: line for call in flushes for line in call.steps}
        for key, now in steps.items():
            if now.incident_at is not None:
                verb = rng.choice(["retry_step", "skip_step", "complete_step", "fail_step"])
                await handle.signal(verb, {"step": key, "actor": {"sub": "ben", "roles": ["approver", "chief"]}})
            elif now.status == "waiting" and now.child is not None:
                body: JsonObject = {"step": key, "visit": now.visit, "execution_id": str(now.child)}
                await handle.signal("child_ended", {**body, **SIGNED})
            elif now.status == "waiting" and now.task is None:
                await handle.signal("signal", {"name": "halt"})
            elif now.status == "waiting" and now.task is not None:
                claimant = now.task.claimant
                name = str(claimant.id) if claimant and rng.random() < 0.5 else f"helper{rng.random()}"
                actor: JsonObject = {"sub": name, "roles": list(now.task.roles)}
                await handle.signal("decide", {"step": key, "decision": "approve", "actor": actor})
        return True


async def histories_of(stage: Stage, handle: Handle) -> list[WorkflowHistory]:
    """Of every execution of this run that flushed."""
    runs = {
        call.temporal_run_id
        for call in stage.world.flushes
        if handle.id.endswith(str(call.execution_id)) and call.temporal_run_id
    }
    return [await stage.client.get_workflow_handle(handle.id, run_id=run).fetch_history() for run in sorted(runs)]


@dataclass(frozen=True, kw_only=True)
class Group:
    """Runs that are played side by side on one worker. `cached`: how many workflows it keeps."""

    name: str
    cached: int
    first: int
    runs: int
    workflow: type = PlaybookRunWorkflow


def groups(prefix: str, scale: int, first: int) -> list[Group]:
    """25 runs for each `scale`, no two of one seed."""
    short = ShortLivedRunWorkflow
    each = [
        [
            Group(name=f"{prefix}cached-{n}", cached=100, first=first + n * 20, runs=14),
            Group(name=f"{prefix}crowded-{n}", cached=1, first=first + 10_000 + n * 4, runs=2),
            Group(name=f"{prefix}uncached-{n}", cached=0, first=first + 20_000 + n * 4, runs=2),
            Group(name=f"{prefix}continued-{n}", cached=100, first=first + 30_000 + n * 10, runs=7, workflow=short),
        ]
        for n in range(scale)
    ]
    return [group for four in each for group in four]


DAILY = groups("", 4, 1_000)
SOAK = groups("soak-", 20, 100_000)


# Without a cache the SDK evicts while a local activity runs, and then warns about its own cancellation of it.
@pytest.mark.filterwarnings("ignore:Cannot find activity to cancel")
@pytest.mark.parametrize(
    "group", [*DAILY, *(pytest.param(group, marks=pytest.mark.soak) for group in SOAK)], ids=lambda group: group.name
)
async def test_replays_when_plans_outcomes_and_messages_are_random(stage: Stage, group: Group) -> None:
    players, workflow = Players(stage), group.workflow
    async with stage.worker(workflow=workflow, max_cached_workflows=group.cached):
        async with asyncio.timeout(300):
            handles = await asyncio.gather(*(players.play(group.first + n) for n in range(group.runs)))
        histories = [history for handle in handles for history in await histories_of(stage, handle)]
    assert len(histories) >= group.runs
    replay = replayer(workflow)
    for history in histories:
        await replay.replay_workflow(history)
    for history in histories:
        for event in history.events:
            if event.event_type == TASK_FAILED:
                assert is_expected(event.workflow_task_failed_event_attributes)


def is_expected(failed: WorkflowTaskFailedEventAttributes) -> bool:
    """A signal came while the run ended, or a task was given back; everything else is a bug."""
    return failed.cause == UNHANDLED_COMMAND or failed.failure.message == TIMED_OUT

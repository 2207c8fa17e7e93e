"""Scenarios of control flow whose histories are recorded, for replay by later releases."""

from __future__ import annotations

from uuid import UUID

from playbooks.common import ids
from playbooks.common.values import Json, JsonObject, StepError
from playbooks.engine.model.plan import (
    ApprovalPlan,
    BackPlan,
    ForEachPlan,
    JoinPlan,
    MutexPlan,
    RetryPolicy,
    SignalPlan,
)
from playbooks.engine.model.temporal_messages import ConcurrencyLimit, LoopCall, ParentRun, StepOutcome
from tests.support.plans import child, effect, human, plan_of, step, undoing
from tests.support.waiting import eventually
from tests.workflows.playing import SIGNED, Handle, Stage, update, vote

_ONCE = RetryPolicy(max_retries=0)


def _failed() -> StepOutcome:
    return StepOutcome(status="failed", error=StepError(kind="network", code="HTTP_500", message="it failed"))


def _has_opened(stage: Stage, key: str, status: str = "waiting") -> bool:
    return any(line.key == key and line.status == status for flush in stage.world.flushes for line in flush.steps)


async def loops(stage: Stage) -> Handle:
    """A `for_each` of effects with a condition, one item failed and tolerated; then a step that is repeated."""
    items: list[Json] = ["a", "b", "c", "d", "e"]
    stage.world.prepared["each"] = StepOutcome(status="ready", items=items, item_count=len(items))
    stage.world.scripts["each[1]"] = [_failed()]
    rounds = iter([True, True, False])
    stage.world.holds = lambda call: next(rounds) if call.step == "again" else _has_three(call)
    rules = ForEachPlan(max_concurrency=2, has_condition=True, tolerated_failures=1)
    return await stage.start(
        plan_of(
            effect("each", 1, for_each=rules, retry=_ONCE),
            step("again", 2, after=("each",), repeat=BackPlan(step="again", max=3)),
            step("c", 3, after=("again",)),
        )
    )


def _has_three(call: LoopCall) -> bool:
    loop = call.context["loop"]
    return isinstance(loop, dict) and loop["completed"] == 3


async def joins(stage: Stage) -> Handle:
    """The first of two effects is enough, the other is cancelled; two regions exclude each other."""
    slow = stage.world.gate("slow")
    handle = await stage.start(
        plan_of(
            effect("fast", 1),
            effect("slow", 2),
            step("first", 3, after=("fast", "slow"), join=JoinPlan(needed=1, cancels_others=True)),
            effect("one", 4, after=("first",), mutex=MutexPlan(name="lab", region="one")),
            effect("two", 5, after=("first",), mutex=MutexPlan(name="lab", region="two")),
        )
    )
    await eventually(lambda: _has_opened(stage, "slow", "cancelled"))
    slow.set()
    return handle


async def signals(stage: Stage) -> Handle:
    """A message that is kept for a step, one that is lost, one that ends a step that waits."""
    kept = SignalPlan(names=("early", "other"))
    lost = SignalPlan(names=("now",), keeps=False)
    handle = await stage.start(
        plan_of(
            human("h", 1),
            step("kept", 2, after=("h",), carrier="signal", worker_type="signal_wait", signal=kept),
            step("lost", 3, after=("kept",), carrier="signal", worker_type="signal_wait", signal=lost),
        )
    )
    await eventually(lambda: stage.world.tasks)
    await handle.signal("signal", {"name": "early", "payload": {"n": 1}})
    await handle.signal("signal", {"name": "now"})
    await handle.signal("signal", ["nonsense"])
    await update(handle, "decide", vote("h", "anna"))
    await eventually(lambda: _has_opened(stage, "lost"))
    await update(handle, "signal", {"name": "now", "payload": 2})
    return handle


async def ways_back(stage: Stage) -> Handle:
    """A person sends the run back once; an effect fails for good, and the run goes on elsewhere."""
    rules = ApprovalPlan(returns=BackPlan(step="draft", max=3, on=("changes_requested",)))
    stage.world.scripts["send"] = [_failed()]
    handle = await stage.start(
        plan_of(
            step("draft", 1),
            human("check", 2, after=("draft",), approval=rules),
            effect("send", 3, after=("check",), retry=_ONCE, on_error="goto", goto=BackPlan(step="end", max=2)),
            step("skipped", 4, after=("send",)),
            step("end", 5, after=("skipped",)),
        )
    )
    await eventually(lambda: len(stage.world.tasks) == 1)
    await update(handle, "decide", {**vote("check", "anna"), "decision": "request_changes"})
    await eventually(lambda: len(stage.world.tasks) == 2)
    await update(handle, "decide", vote("check", "ben"))
    return handle


async def undone(stage: Stage) -> Handle:
    """An incident that is retried, then a run that is cancelled and undone, with an undoing that fails."""
    stage.world.scripts["pay"] = [_failed(), StepOutcome(status="succeeded", output={"paid": 1})]
    stage.world.scripts["book!undo"] = [_failed()]
    handle = await stage.start(
        plan_of(
            effect("book", 1),
            effect("pay", 2, after=("book",), retry=_ONCE, on_error="incident"),
            human("h", 3, after=("pay",)),
            compensations=(undoing("book", 1, retry=_ONCE), undoing("pay", 2)),
        )
    )
    await eventually(lambda: _has_opened(stage, "pay"))
    await update(handle, "retry_step", {"step": "pay", "actor": {"sub": "anna"}})
    await eventually(lambda: stage.world.tasks)
    await update(handle, "cancel_run", {"reason": "no money"})
    return handle


async def children(stage: Stage) -> Handle:
    """A run with a parent, and four children: not waited for, already ended, reported by a message, cancelled."""
    ended = {"quick"}
    done = StepOutcome(status="succeeded", output={"status": "completed"})
    stage.world.ends = lambda call: done if call.step in ended else StepOutcome(status="ready")
    plan = plan_of(
        child("apart", 1, waits=False),
        child("quick", 2, after=("apart",)),
        child("slow", 3, after=("quick",)),
        child("left", 4, after=("slow",)),
    )
    handle = await stage.start(plan, parent=ParentRun(execution_id=UUID(int=7), step="s", visit=1, depth=2))
    await eventually(lambda: _has_opened(stage, "slow"))
    await handle.signal("child_ended", {"step": "slow", "visit": 2, "execution_id": str(UUID(int=9)), **SIGNED})
    await handle.signal("child_ended", {"step": "slow"})
    ended.add("slow")
    await handle.signal("child_ended", child_ended(handle, "slow"))
    await eventually(lambda: _has_opened(stage, "left"))
    await update(handle, "cancel_run", {"reason": "no money"})
    return handle


async def turns(stage: Stage) -> Handle:
    """A run that is notified twice before it acquires its limit, and notifies the next one."""
    answers = iter([False, False, True])
    stage.world.frees = lambda _: next(answers)
    handle = await stage.start(plan_of(step("a", 1)), slot=ConcurrencyLimit(label="key", max_runs=1))
    for asked in (1, 2):
        await eventually(lambda asked=asked: len(stage.world.asked) == asked)
        await eventually(lambda: stage.world.flushes and stage.world.flushes[-1].run.waiting_for)
        await handle.signal("concurrency_free", SIGNED)
    return handle


def child_ended(handle: Handle, key: str) -> JsonObject:
    """Return the message of the service when the child of a step has ended."""
    parsed = ids.parse_workflow_id(handle.id)
    assert parsed is not None
    organization, execution = parsed
    started = ids.child_execution_id(organization, ids.effect_key(execution, key, 1))
    return {"step": key, "visit": 1, "execution_id": str(started), **SIGNED}

"""Work of the lane: one local activity at a time, each of which ends in an event.

Work whose visit ended while it was queued is not done.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

from temporalio import workflow
from temporalio.exceptions import ActivityError

from playbooks.engine import activity_inputs
from playbooks.engine.model import events
from playbooks.engine.model.commands import (
    CheckMessage,
    CollectItems,
    EvaluateLoop,
    MakeOutput,
    PrepareStep,
    ReadChild,
    RunStep,
)
from playbooks.engine.model.plan import Plan
from playbooks.engine.model.state import RunState
from playbooks.engine.model.temporal_messages import StepCall, StepOutcome
from workflows import calls
from workflows.failures import read_failure
from workflows.lane import LaneJob

LaneCommand: TypeAlias = PrepareStep | RunStep | EvaluateLoop | CollectItems | ReadChild | CheckMessage | MakeOutput
"""Commands for the lane; of `RunStep` only those of pure handlers."""


class LaneWork:
    """One run's work for the lane. `state` is read when a job begins, `report` receives its event."""

    def __init__(self, plan: Plan, state: Callable[[], RunState], report: Callable[[events.Event], None]) -> None:
        self._plan = plan
        self._state = state
        self._report = report

    def job(self, command: LaneCommand) -> LaneJob:
        """Return the job for a command."""
        return LaneJob(run=self._work(command), is_control=isinstance(command, CheckMessage))

    def _work(self, command: LaneCommand) -> Callable[[], Awaitable[int]]:
        match command:
            case PrepareStep(step=key, visit=visit):
                return lambda: self._prepare(key, visit)
            case RunStep(step=key, visit=visit, attempt=attempt):
                return lambda: self._run(key, visit, attempt)
            case EvaluateLoop(step=key, visit=visit):
                return lambda: self._evaluate_loop(key, visit)
            case CollectItems(step=key, visit=visit):
                return lambda: self._collect_items(key, visit)
            case ReadChild(step=key, visit=visit):
                return lambda: self._read_child(key, visit)
            case CheckMessage(request=request):
                return lambda: self._check(request)
            case MakeOutput():
                return self._make_output

    async def _run(self, key: str, visit: int, attempt: int) -> int:
        if self._is_gone(key, visit):
            return 0
        step = self._plan.step(key)
        call = activity_inputs.step_call(self._plan, self._state(), step, attempt)
        try:
            outcome = await calls.pure_step(step, call)
        except ActivityError as error:
            self._report(read_failure(call, error, workflow.now()))
            return calls.LANE_BUDGET_MS
        self._report(reported(call, outcome))
        return outcome.elapsed_ms

    async def _prepare(self, key: str, visit: int) -> int:
        if self._is_gone(key, visit):
            return 0
        step = self._plan.step(key)
        call = activity_inputs.step_call(self._plan, self._state(), step, 0)
        outcome = await calls.prepare_step(step, call)
        self._report(events.StepPrepared(at=workflow.now(), step=key, visit=call.visit, outcome=outcome))
        return outcome.elapsed_ms

    async def _evaluate_loop(self, key: str, visit: int) -> int:
        if self._is_gone(key, visit):
            return 0
        outcome = await calls.evaluate_loop(
            self._plan.step(key), activity_inputs.loop_call(self._plan, self._state(), key)
        )
        self._report(events.LoopEvaluated(at=workflow.now(), step=key, visit=visit, outcome=outcome))
        return outcome.elapsed_ms

    async def _collect_items(self, key: str, visit: int) -> int:
        if self._is_gone(key, visit) or key not in self._state().loops:
            return 0
        outcome = await calls.collect_items(
            self._plan.step(key), activity_inputs.collect_call(self._plan, self._state(), key)
        )
        self._report(events.ItemsCollected(at=workflow.now(), step=key, visit=visit, outcome=outcome))
        return outcome.elapsed_ms

    async def _read_child(self, key: str, visit: int) -> int:
        call = None if self._is_gone(key, visit) else activity_inputs.child_call(self._plan, self._state(), key)
        if call is None:
            return 0
        outcome = await calls.read_child(self._plan.step(key), call)
        self._report(events.ChildRead(at=workflow.now(), step=key, visit=visit, outcome=outcome))
        return outcome.elapsed_ms

    async def _check(self, request_id: str) -> int:
        request = self._state().requests[request_id]
        call = activity_inputs.check_call(self._plan, self._state(), request)
        outcome = await calls.check_message(request.message.verb, call)
        self._report(events.MessageChecked(at=workflow.now(), request=request_id, outcome=outcome))
        return outcome.elapsed_ms

    async def _make_output(self) -> int:
        result = await calls.make_output(activity_inputs.output_call(self._plan, self._state()))
        self._report(events.OutputMade(at=workflow.now(), output=result.output, error=result.error))
        return result.elapsed_ms

    def _is_gone(self, key: str, visit: int) -> bool:
        """Return true if the item was cancelled, or the visit ended, while its job was queued."""
        steps = self._state().steps
        return key not in steps or steps[key].visit != visit


def reported(call: StepCall, outcome: StepOutcome) -> events.StepReported:
    """Return the event of an attempt that has an outcome."""
    return events.StepReported(
        at=workflow.now(), step=call.step, visit=call.visit, attempt=call.attempt, outcome=outcome
    )

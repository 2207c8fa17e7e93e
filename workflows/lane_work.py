"""What the lane does: one pure piece of work at a time, each of which ends in an event.

Owns the way from a command to the local activity and back. Must not know when it gets its turn. Invariant: what was
ended while its work waited for its turn is not done.
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
"""`RunStep` of a pure handler, that is."""


class LaneWork:
    """One run's work for the lane. `state` is asked when a piece of it gets its turn, `hear` told what came of it."""

    def __init__(self, plan: Plan, state: Callable[[], RunState], hear: Callable[[events.Event], None]) -> None:
        self._plan = plan
        self._state = state
        self._hear = hear

    def job(self, command: LaneCommand) -> LaneJob:
        """The work that a command asks for."""
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
            self._hear(read_failure(call, error, workflow.now()))
            return calls.LANE_BUDGET_MS
        self._hear(reported(call, outcome))
        return outcome.elapsed_ms

    async def _prepare(self, key: str, visit: int) -> int:
        if self._is_gone(key, visit):
            return 0
        step = self._plan.step(key)
        call = activity_inputs.step_call(self._plan, self._state(), step, 0)
        outcome = await calls.prepare_step(step, call)
        self._hear(events.StepPrepared(at=workflow.now(), step=key, visit=call.visit, outcome=outcome))
        return outcome.elapsed_ms

    async def _evaluate_loop(self, key: str, visit: int) -> int:
        if self._is_gone(key, visit):
            return 0
        outcome = await calls.evaluate_loop(
            self._plan.step(key), activity_inputs.loop_call(self._plan, self._state(), key)
        )
        self._hear(events.LoopEvaluated(at=workflow.now(), step=key, visit=visit, outcome=outcome))
        return outcome.elapsed_ms

    async def _collect_items(self, key: str, visit: int) -> int:
        if self._is_gone(key, visit) or key not in self._state().loops:
            return 0
        outcome = await calls.collect_items(
            self._plan.step(key), activity_inputs.collect_call(self._plan, self._state(), key)
        )
        self._hear(events.ItemsCollected(at=workflow.now(), step=key, visit=visit, outcome=outcome))
        return outcome.elapsed_ms

    async def _read_child(self, key: str, visit: int) -> int:
        call = None if self._is_gone(key, visit) else activity_inputs.child_call(self._plan, self._state(), key)
        if call is None:
            return 0
        outcome = await calls.read_child(self._plan.step(key), call)
        self._hear(events.ChildRead(at=workflow.now(), step=key, visit=visit, outcome=outcome))
        return outcome.elapsed_ms

    async def _check(self, request_id: str) -> int:
        request = self._state().requests[request_id]
        call = activity_inputs.check_call(self._plan, self._state(), request)
        outcome = await calls.check_message(request.message.verb, call)
        self._hear(events.MessageChecked(at=workflow.now(), request=request_id, outcome=outcome))
        return outcome.elapsed_ms

    async def _make_output(self) -> int:
        result = await calls.make_output(activity_inputs.output_call(self._plan, self._state()))
        self._hear(events.OutputMade(at=workflow.now(), output=result.output, error=result.error))
        return result.elapsed_ms

    def _is_gone(self, key: str, visit: int) -> bool:
        """An item that was cancelled, or a visit that is over, while its lane work waited for its turn."""
        steps = self._state().steps
        return key not in steps or steps[key].visit != visit


def reported(call: StepCall, outcome: StepOutcome) -> events.StepReported:
    """The event of an attempt that has been answered."""
    return events.StepReported(
        at=workflow.now(), step=call.step, visit=call.visit, attempt=call.attempt, outcome=outcome
    )

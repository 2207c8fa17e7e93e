"""Activities that answer what a test tells them: for the workflow's own tests, never for a journey."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from temporalio import activity

from playbooks.actors import asserted_actor
from playbooks.messages import (
    CancelCall,
    CheckCall,
    FlushCall,
    FlushResult,
    NotificationCall,
    OutcomeOfCheck,
    OutputCall,
    OutputResult,
    StepCall,
    StepOutcome,
    TaskCall,
)


@dataclass
class FakeWorld:
    """Records every call; `scripts` holds a list of outcomes for a step's attempts, the last one repeated."""

    scripts: dict[str, list[StepOutcome | Exception]] = field(default_factory=dict)
    prepared: dict[str, StepOutcome] = field(default_factory=dict)
    calls: list[tuple[str, str]] = field(default_factory=list)
    flushes: list[FlushCall] = field(default_factory=list)
    tasks: list[TaskCall] = field(default_factory=list)
    notifications: list[NotificationCall] = field(default_factory=list)
    cancel: Callable[[CancelCall], Any] | None = None
    _made: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def _next(self, name: str, call: StepCall) -> StepOutcome:
        self.calls.append((name, call.step))
        script = self.scripts.get(call.step) or [StepOutcome(status="succeeded", output={"step": call.step})]
        outcome = script[min(self._made[call.step], len(script) - 1)]
        self._made[call.step] += 1
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def activities(self) -> list[Callable[..., Any]]:
        """The activities of the contract, as the worker registers them."""

        @activity.defn(name="run_pure_step")
        async def run_pure_step(call: StepCall) -> StepOutcome:
            return self._next("run_pure_step", call)

        @activity.defn(name="http_request")
        async def http_request(call: StepCall) -> StepOutcome:
            return self._next("http_request", call)

        @activity.defn(name="prepare_step")
        async def prepare_step(call: StepCall) -> StepOutcome:
            self.calls.append(("prepare_step", call.step))
            return self.prepared.get(call.step, StepOutcome(status="ready", input={}))

        @activity.defn(name="check_message")
        async def check_message(call: CheckCall) -> OutcomeOfCheck:
            if call.envelope.actor is None:
                return OutcomeOfCheck(code="NOT_ELIGIBLE", detail="nobody is named")
            return OutcomeOfCheck(actor=asserted_actor(call.organization_id, call.envelope.actor))

        @activity.defn(name="make_output")
        async def make_output(call: OutputCall) -> OutputResult:
            return OutputResult(output=call.context)

        @activity.defn(name="announce_task")
        async def announce_task(call: TaskCall) -> None:
            self.tasks.append(call)

        @activity.defn(name="record_notification")
        async def record_notification(call: NotificationCall) -> None:
            self.notifications.append(call)

        @activity.defn(name="flush")
        async def flush(call: FlushCall) -> FlushResult:
            self.flushes.append(call)
            return FlushResult(applied=True, row_status="in_progress")

        @activity.defn(name="request_cancel")
        async def request_cancel(call: CancelCall) -> None:
            if self.cancel is not None:
                await self.cancel(call)

        return [
            run_pure_step,
            http_request,
            prepare_step,
            check_message,
            make_output,
            announce_task,
            record_notification,
            flush,
            request_cancel,
        ]

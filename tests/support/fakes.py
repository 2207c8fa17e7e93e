"""Activities with answers set by a test: for the workflow's own tests, never for a journey."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from temporalio import activity

from playbooks.common.actors import asserted_actor
from playbooks.common.values import RunStatus
from playbooks.engine.model.control_messages import PersonAction
from playbooks.engine.model.temporal_messages import (
    AcquireCall,
    AcquireResult,
    CancelCall,
    CheckCall,
    ChildCall,
    CollectCall,
    FlushCall,
    FlushResult,
    LoopCall,
    LoopOutcome,
    NotificationCall,
    NotifyNextCall,
    NotifyParentCall,
    OutcomeOfCheck,
    OutputCall,
    OutputResult,
    StepCall,
    StepOutcome,
    TaskCall,
)

Answer: TypeAlias = StepOutcome | Exception | Callable[[StepCall], Awaitable[StepOutcome]]

_BEAT_SECONDS = 0.02


@dataclass
class FakeWorld:
    """Records every call; `scripts` holds a list of answers for a step's attempts, the last one repeated.

    `answer` is asked for steps without a script. `gates` holds events by activity name or step key: a call waits,
    with a heartbeat, until its gate is set; `cancelled` names the gates before which a call was cancelled.
    `ends` returns the outcome of `read_child`, `frees` whether a run acquires its limit.
    `writes_carried`: true when an effect writes the rows that it carries. `row_status` is what a flush finds in the
    row, `refuses_flushes` makes it stale.
    """

    scripts: dict[str, list[Answer]] = field(default_factory=dict[str, list[Answer]])
    answer: Callable[[StepCall], StepOutcome] = lambda call: StepOutcome(status="succeeded", output={"step": call.step})
    prepared: dict[str, StepOutcome] = field(default_factory=dict[str, StepOutcome])
    prepare: Callable[[StepCall], StepOutcome] = lambda _: StepOutcome(status="ready", input={})
    holds: Callable[[LoopCall], bool] = lambda _: False
    calls: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    step_calls: list[StepCall] = field(default_factory=list[StepCall])
    flushes: list[FlushCall] = field(default_factory=list[FlushCall])
    tasks: list[TaskCall] = field(default_factory=list[TaskCall])
    notifications: list[NotificationCall] = field(default_factory=list[NotificationCall])
    cancelled: list[str] = field(default_factory=list[str])
    cancels: list[CancelCall] = field(default_factory=list[CancelCall])
    cancel: Callable[[CancelCall], Any] | None = None
    ends: Callable[[ChildCall], StepOutcome] = lambda _: StepOutcome(status="ready")
    frees: Callable[[AcquireCall], bool] = lambda _: True
    cancelled_children: list[CancelCall] = field(default_factory=list[CancelCall])
    notified_parents: list[NotifyParentCall] = field(default_factory=list[NotifyParentCall])
    asked: list[AcquireCall] = field(default_factory=list[AcquireCall])
    notified_next: list[NotifyNextCall] = field(default_factory=list[NotifyNextCall])
    gates: dict[str, asyncio.Event] = field(default_factory=dict[str, asyncio.Event])
    writes_carried: Callable[[FlushCall], bool] = lambda _: False
    row_status: RunStatus = "in_progress"
    refuses_flushes: bool = False
    _made: dict[str, int] = field(default_factory=lambda: defaultdict[str, int](int))

    def gate(self, name: str) -> asyncio.Event:
        """A closed gate for this activity or step; set it to let calls through."""
        return self.gates.setdefault(name, asyncio.Event())

    @property
    def event_kinds(self) -> list[str]:
        """Kinds of all events that were flushed, in order."""
        return [event.kind for call in self.flushes for event in call.events]

    async def _pass(self, *names: str) -> None:
        for name in names:
            gate = self.gates.get(name)
            while gate is not None and not gate.is_set():
                activity.heartbeat()
                try:
                    await asyncio.sleep(_BEAT_SECONDS)
                except asyncio.CancelledError:
                    self.cancelled.append(name)
                    raise

    async def _step(self, name: str, call: StepCall) -> StepOutcome:
        self.calls.append((name, call.step))
        self.step_calls.append(call)
        await self._pass(name, call.step)
        script = self.scripts.get(call.step)
        if script is None:
            return self.answer(call)
        answer = script[min(self._made[call.step], len(script) - 1)]
        self._made[call.step] += 1
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, StepOutcome) else await answer(call)

    def _carry(self, rows: FlushCall | None, outcome: StepOutcome) -> StepOutcome:
        if rows is None or not self.writes_carried(rows):
            return outcome
        self.flushes.append(rows)
        return replace(outcome, rows_seq=rows.seq)

    def activities(self) -> list[Callable[..., Any]]:
        """The activities of the contract, as the worker registers them."""

        @activity.defn(name="data_processor")
        async def data_processor(call: StepCall) -> StepOutcome:
            return await self._step("data_processor", call)

        @activity.defn(name="http_request")
        async def http_request(call: StepCall, rows: FlushCall | None = None) -> StepOutcome:
            return self._carry(rows, await self._step("http_request", call))

        @activity.defn(name="sub_playbook")
        async def sub_playbook(call: StepCall, rows: FlushCall | None = None) -> StepOutcome:
            return self._carry(rows, await self._step("sub_playbook", call))

        @activity.defn(name="ai")
        async def ai(call: StepCall, rows: FlushCall | None = None) -> StepOutcome:
            return self._carry(rows, await self._step("ai", call))

        @activity.defn(name="prepare_step")
        async def prepare_step(call: StepCall) -> StepOutcome:
            self.calls.append(("prepare_step", call.step))
            return self.prepared.get(call.step) or self.prepare(call)

        @activity.defn(name="evaluate_loop")
        async def evaluate_loop(call: LoopCall) -> LoopOutcome:
            self.calls.append(("evaluate_loop", call.step))
            return LoopOutcome(holds=self.holds(call))

        @activity.defn(name="collect_items")
        async def collect_items(call: CollectCall) -> StepOutcome:
            self.calls.append(("collect_items", call.step))
            return StepOutcome(status="succeeded", output={"count": call.count, "completed": call.completed})

        @activity.defn(name="check_message")
        async def check_message(call: CheckCall) -> OutcomeOfCheck:
            needs_person = isinstance(call.message.action, PersonAction) or call.needs_person
            if call.message.actor is None and needs_person:
                return OutcomeOfCheck(code="NOT_ELIGIBLE", detail="no actor is named")
            return OutcomeOfCheck(actor=asserted_actor(call.organization_id, call.message.actor))

        @activity.defn(name="make_output")
        async def make_output(call: OutputCall) -> OutputResult:
            return OutputResult(output=call.context)

        @activity.defn(name="announce_task")
        async def announce_task(call: TaskCall, rows: FlushCall | None = None) -> FlushResult | None:
            self.tasks.append(call)
            return None if rows is None else await write(rows)

        async def write(call: FlushCall) -> FlushResult:
            self.flushes.append(call)
            await self._pass("flush", f"flush:{call.run.status}")
            return FlushResult(applied=not self.refuses_flushes, row_status=self.row_status)

        @activity.defn(name="record_notification")
        async def record_notification(call: NotificationCall) -> None:
            self.notifications.append(call)

        @activity.defn(name="flush")
        async def flush(call: FlushCall) -> FlushResult:
            return await write(call)

        @activity.defn(name="request_cancel")
        async def request_cancel(call: CancelCall) -> None:
            self.cancels.append(call)
            if self.cancel is not None:
                await self.cancel(call)

        return [
            *self._to_other_runs(),
            sub_playbook,
            data_processor,
            http_request,
            ai,
            prepare_step,
            evaluate_loop,
            collect_items,
            check_message,
            make_output,
            announce_task,
            record_notification,
            flush,
            request_cancel,
        ]

    def _to_other_runs(self) -> list[Callable[..., Any]]:
        """Activities between runs."""

        @activity.defn(name="read_child")
        async def read_child(call: ChildCall) -> StepOutcome:
            self.calls.append(("read_child", call.step))
            return self.ends(call)

        @activity.defn(name="cancel_child")
        async def cancel_child(call: CancelCall) -> None:
            self.cancelled_children.append(call)

        @activity.defn(name="notify_parent")
        async def notify_parent(call: NotifyParentCall) -> None:
            await self._pass("notify_parent")
            self.notified_parents.append(call)

        @activity.defn(name="acquire_concurrency")
        async def acquire_concurrency(call: AcquireCall) -> AcquireResult:
            self.asked.append(call)
            await self._pass("acquire_concurrency")
            return AcquireResult(is_acquired=self.frees(call))

        @activity.defn(name="notify_next")
        async def notify_next(call: NotifyNextCall) -> None:
            self.notified_next.append(call)

        return [read_child, cancel_child, notify_parent, acquire_concurrency, notify_next]

"""The shell around the machine: commands become activities and timers, outcomes become events.

It keeps what is in flight, and knows no rule about runs: one event at a time, one lane, one flush in flight.

Nothing from outside the lane is handled before the lane rests (`inbox`, docs/decisions/0010), and what was handed to
Temporal is never taken back (0008): a timer that is no longer needed fires and is ignored; effects end with the
workflow, which they notice with their next heartbeat.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine
from dataclasses import replace
from datetime import datetime
from typing import assert_never

from temporalio import workflow
from temporalio.exceptions import ActivityError

from playbooks.common.values import FINISHED_RUN, Verdict
from playbooks.engine import activity_inputs
from playbooks.engine.machine import advance, new_run
from playbooks.engine.model import commands
from playbooks.engine.model.events import CancelRequested, ConcurrencyReported, Event, TimerFired
from playbooks.engine.model.plan import PlanStep
from playbooks.engine.model.state import RunState
from playbooks.engine.model.temporal_messages import FlushCall, FlushResult, RunInput, RunProjection, StepCall, TaskCall
from playbooks.engine.projection import FLUSH_INTERVAL
from workflows import calls
from workflows.failures import read_failure
from workflows.inbox import Delivery, Inbox
from workflows.lane import Lane
from workflows.lane_work import LaneWork, reported
from workflows.projection_buffer import ProjectionBuffer
from workflows.ui_details import UIDetails


class Shell:
    """One run's state and everything that is in flight for it."""

    def __init__(self, start: RunInput) -> None:
        self.plan = start.plan
        self.state: RunState = start.state or new_run(start)
        self.verdicts: dict[str, Verdict] = {}
        self.is_awake = False
        self._start = start
        self._pending: deque[Event] = deque()
        self._inbox = Inbox()
        self._lane = Lane(self._watched, before_yield=self._mark_flush_due)
        self._lane_work = LaneWork(self.plan, lambda: self.state, self._report)
        self._effects: dict[str, StepCall] = {}
        self._starts: dict[tuple[str, int], commands.CancelChild | None] = {}
        self._timers: dict[str, datetime] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._rows = ProjectionBuffer(self.plan, self.state, workflow.info().run_id)
        self._ui_details = UIDetails(start)
        self._crash: BaseException | None = None

    @property
    def is_finished(self) -> bool:
        return self.state.status in FINISHED_RUN

    @property
    def is_quiet(self) -> bool:
        """Nothing is in flight and nothing waits to be projected; only timers and people may act."""
        busy = self._pending or self._inbox or self._effects or self._starts or self._tasks
        return not busy and self._lane.is_idle and not self._rows.is_flushing and not self._rows.is_behind(self.state)

    def wake(self) -> None:
        self.is_awake = True

    def post(self, event: Event, *, is_message: bool = False) -> None:
        """Queue an event from outside; it is handled when the lane rests, one event at a time."""
        self._deliver(lambda: self._pending.append(event), is_message=is_message)

    def restore_timers(self) -> None:
        """Restart timers after continue-as-new, from their absolute deadlines."""
        for timer, due in sorted(self.state.timers.items()):
            self._start_timer(timer, due, timer)

    def work(self) -> None:
        """Advance the machine by every event, execute its commands, and flush if due.

        Raises the exception of a failed task of the shell: a bug, which blocks the workflow until a fix is deployed.
        """
        self.is_awake = False
        if self._crash is not None:
            raise RuntimeError("the shell broke") from self._crash
        while batch := self._drain_events():
            # Work that begins and ends within one batch is never begun.
            ended = {(command.step, command.visit) for command in batch if isinstance(command, commands.CancelStep)}
            for command in batch:
                begins = isinstance(command, commands.RunStep | commands.PrepareStep | commands.OpenTask)
                if not (begins and (command.step, command.visit) in ended):
                    self._execute(command)
        self._flush_if_due()

    def _drain_events(self) -> list[commands.Command]:
        """Return the commands that follow from the events, up to the first local activity; empty if none is left."""
        batch: list[commands.Command] = []
        while not any(self._is_for_lane(command) for command in batch):
            if not self._pending and self._inbox and self._lane.rests:
                self._inbox.take()()
            elif self._pending:
                self.state, wanted = advance(self.plan, self.state, self._pending.popleft())
                batch.extend(wanted)
            else:
                break
        return batch

    def _is_for_lane(self, command: commands.Command) -> bool:
        if isinstance(command, commands.RunStep):
            return self.plan.step(command.step).carrier == "pure"
        return isinstance(
            command,
            commands.PrepareStep
            | commands.EvaluateLoop
            | commands.CollectItems
            | commands.ReadChild
            | commands.CheckMessage
            | commands.MakeOutput,
        )

    def show_end(self) -> None:
        """Show the run's end; to be called in the task that closes the workflow."""
        self._ui_details.show_end(self.state)

    def ask_cancel(self) -> None:
        """Start the activity that requests the cancel with which this workflow has to close."""
        self._spawn(self._await(calls.request_cancel(activity_inputs.cancel_call(self.state))))

    def notify_others(self) -> bool:
        """Notify the parent and the next run of the same key; return false if there are none."""
        parent, slot = self._start.parent, self._start.slot
        if parent is not None and parent.waits:
            self._spawn(self._await(calls.notify_parent(activity_inputs.notify_parent_call(self.state, parent))))
        if slot is not None:
            self._spawn(self._await(calls.notify_next(activity_inputs.notify_next_call(self.state, slot))))
        return slot is not None or (parent is not None and parent.waits)

    def _execute(self, command: commands.Command) -> None:  # noqa: C901  (a table of commands, nothing else)
        match command:
            case (
                commands.PrepareStep()
                | commands.EvaluateLoop()
                | commands.CollectItems()
                | commands.ReadChild()
                | commands.CheckMessage()
                | commands.MakeOutput()
            ):
                self._lane.put(self._lane_work.job(command))
            case commands.RunStep():
                self._run_step(command)
            case commands.CancelChild():
                self._cancel_child(command)
            case commands.AcquireConcurrency():
                self._spawn(self._acquire_concurrency(command))
            case commands.OpenTask(step=key, visit=visit):
                self._open_task(key, visit)
            case commands.CancelStep(step=key):
                self._effects.pop(key, None)
            case commands.StartTimer(timer=timer, due=due, summary=summary):
                self._start_timer(timer, due, summary)
            case commands.StopTimer(timer=timer):
                self._timers.pop(timer, None)
            case commands.Notify():
                call = activity_inputs.notification_call(self.plan, self.state, command, self._start.notification)
                self._spawn(self._await(calls.record_notification(call)))
            case commands.Answer(request=request, verdict=verdict):
                self.verdicts[request] = verdict
            case commands.FinishRun():
                self._lane.drop_steps()
            case _:
                assert_never(command)

    # --- steps

    def _run_step(self, command: commands.RunStep) -> None:
        step = self.plan.step(command.step)
        if step.carrier == "pure":
            self._lane.put(self._lane_work.job(command))
            return
        call = self._effects[step.key] = activity_inputs.step_call(self.plan, self.state, step, command.attempt)
        if step.child is not None:
            self._starts[call.step, call.visit] = None
        if (rows := self._rows.take_for_effect(self.state)) is not None:
            self._show(rows.run)
        self._watched(self._run_effect(step, call, rows))

    async def _run_effect(self, step: PlanStep, call: StepCall, rows: FlushCall | None) -> None:
        is_written = False
        try:
            outcome = await calls.effect_step(step, call, rows)
            event: Event = reported(call, outcome)
            is_written = outcome.rows_seq is not None
        except ActivityError as error:
            event = read_failure(call, error, workflow.now())

        def has_ended() -> None:
            if rows is not None:
                self._confirm_piggyback(rows, is_written=is_written)
            if self._effects.get(step.key) is call:
                del self._effects[step.key]
            self._pending.append(event)
            unwanted = self._starts.pop((call.step, call.visit), None)
            if unwanted is not None:
                self._cancel_child(unwanted)

        self._deliver(has_ended)

    def _cancel_child(self, command: commands.CancelChild) -> None:
        """Cancel a child. A start in flight is awaited first: before it ends it is unknown whether there is a child."""
        if (command.step, command.visit) in self._starts:
            self._starts[command.step, command.visit] = command
        else:
            self._spawn(self._await(calls.cancel_child(activity_inputs.cancel_child_call(self.state, command))))

    async def _acquire_concurrency(self, command: commands.AcquireConcurrency) -> None:
        slot = self._start.slot
        if slot is None:
            return
        call = activity_inputs.acquire_call(
            self.state, slot, cancels_oldest=command.is_first and slot.on_limit == "cancel_oldest"
        )
        answer = await calls.acquire_concurrency(call)
        self.post(ConcurrencyReported(at=workflow.now(), is_acquired=answer.is_acquired))

    def _open_task(self, key: str, visit: int) -> None:
        call = activity_inputs.task_call(self.plan, self.state, key, visit)
        if call is None:
            return
        self._spawn(self._announce(self.plan.step(key), call, self._take_rows()))

    async def _announce(self, step: PlanStep, call: TaskCall, rows: FlushCall | None) -> None:
        result = await calls.announce_task(step, call, rows)
        if rows is not None and result is not None:
            self._deliver(lambda: self._has_flushed(rows, result))

    # --- timers

    def _start_timer(self, timer: str, due: datetime, summary: str) -> None:
        self._timers[timer] = due
        self._watched(self._sleep_until(timer, due, summary))

    async def _sleep_until(self, timer: str, due: datetime, summary: str) -> None:
        await calls.sleep(due - workflow.now(), summary)
        fired = TimerFired(at=workflow.now(), timer=timer)

        def has_fired() -> None:
            if self._timers.get(timer) == due:
                del self._timers[timer]
                self._pending.append(fired)

        self._deliver(has_fired)

    # --- projection

    def _flush_if_due(self) -> None:
        """Flush when nothing is ready to run, else once until the lane yields or the interval is over."""
        rows = self._rows
        if rows.is_flushing or not rows.is_behind(self.state):
            return
        is_idle = self._lane.is_idle and not self._effects
        if is_idle or self.is_finished or rows.flush_due:
            rows.flush_due = is_idle
            if (call := self._take_rows()) is not None:
                self._watched(self._flush(call))
        elif self._effects and not rows.flush_timer_running and rows.has_unsent_changes(self.state):
            rows.flush_timer_running = True
            self._watched(self._flush_later())

    def _take_rows(self) -> FlushCall | None:
        """Return all missing changes, which the caller has to write; None if there are none or a flush is in flight."""
        if self._rows.is_flushing or not self._rows.is_behind(self.state):
            return None
        call = self._rows.take_for_flush(self.state)
        self.state = replace(self.state, outbox=(), past=())
        self._show(call.run)
        return call

    async def _flush_later(self) -> None:
        await calls.sleep(FLUSH_INTERVAL, "project to the rows")

        def is_over() -> None:
            self._rows.flush_timer_running = False
            self._rows.flush_due = self._rows.has_unsent_changes(self.state)

        self._deliver(is_over)

    def _mark_flush_due(self) -> None:
        self._rows.flush_due = True
        self.wake()

    async def _flush(self, call: FlushCall) -> None:
        result = await calls.flush(call)
        self._deliver(lambda: self._has_flushed(call, result))

    def _has_flushed(self, call: FlushCall, result: FlushResult) -> None:
        self._rows.confirm_flush(call)
        if result.row_status in FINISHED_RUN and not result.applied and not self.is_finished:
            # The run was cancelled before it started, or had ended before an operator reset its workflow.
            self._pending.append(CancelRequested(at=workflow.now(), reason="the run was over before"))

    def _confirm_piggyback(self, call: FlushCall, *, is_written: bool) -> None:
        self._rows.confirm_piggyback(call, is_written=is_written)
        if not is_written:
            return
        if call.events:
            left = tuple(event for event in self.state.outbox if event.number > call.events[-1].number)
            self.state = replace(self.state, outbox=left)
        if self.state.past:
            carried = {(step.key, step.visit) for step in call.steps}
            left = tuple(step for step in self.state.past if (step.key, step.visit) not in carried)
            self.state = replace(self.state, past=left)

    def _show(self, run: RunProjection) -> None:
        self._ui_details.show(self.state, run, rests=not self._effects)

    # --- in flight

    def _deliver(self, delivery: Delivery, *, is_message: bool = False) -> None:
        self._inbox.put(delivery, is_message=is_message)
        self.wake()

    def _report(self, event: Event) -> None:
        """Receive an event of the lane, which is handled before anything else."""
        self._pending.append(event)
        self.wake()

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        self._tasks.add(self._watched(work))

    def _watched(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        task.add_done_callback(self._on_done)
        return task

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._crash = task.exception()
        self.wake()

    async def _await(self, handle: workflow.ActivityHandle[None]) -> None:
        await handle

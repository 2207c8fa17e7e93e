"""The workflow `PlaybookRun`: its signals, updates and query, and the end of a run.

Signals and updates are dynamic and raw, because a handler with typed arguments turns a malformed signal into a
workflow task that fails for ever. A run ends only when all decisions are in the tables and every update has its
verdict.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError

from playbooks.common.values import Json, Verdict
from playbooks.engine.digest import digest_of_lines
from playbooks.engine.model.control_messages import ControlMessage, MalformedMessage, read_message
from playbooks.engine.model.events import (
    CancelRequested,
    Continued,
    DrainRequested,
    MessageReceived,
    MessageRefused,
    RunStarted,
)
from playbooks.engine.model.state import RunState
from playbooks.engine.model.temporal_messages import RunInput, RunResult
from workflows.shell import Shell

LONG_HISTORY = 10_000
"""Number of events after which any run continues as new; one with loops does when Temporal suggests it."""


@workflow.defn(name="PlaybookRun")
class PlaybookRunWorkflow:
    """One run of one playbook version."""

    @workflow.init
    def __init__(self, start: RunInput) -> None:
        self._start = start
        self._shell = Shell(start)
        self._is_cancel_asked = False
        self._was_cancel_requested = False
        self._is_ending = False
        self._is_drain_asked = False
        self._has_notified_others = False
        if start.state is None:
            self._shell.post(RunStarted(at=workflow.now()))
        elif start.state.is_draining:
            self._shell.post(Continued(at=workflow.now()))

    @workflow.run
    async def run(self, start: RunInput) -> RunResult:
        """Run to the end. A failed run raises `ApplicationError` with a `RunResult` as details."""
        shell = self._shell
        shell.restore_timers()
        while True:
            try:
                await workflow.wait_condition(self._has_work)
            except asyncio.CancelledError:
                self._was_cancel_requested = True
                shell.post(CancelRequested(at=workflow.now(), reason="cancelled through Temporal"))
            shell.work()
            self._drain_if_long()
            self._is_ending = shell.is_quiet and (shell.is_finished or self._should_continue_as_new())
            if self._is_ending and shell.is_finished and self._notify_others_once():
                self._is_ending = False  # it is quiet again when they have been notified
            if self._is_ending and workflow.all_handlers_finished():
                if not shell.is_finished:
                    workflow.continue_as_new(replace(start, state=shell.state))
                if shell.state.status != "cancelled" or self._was_cancel_requested:
                    break
                self._ask_cancel_once()
        return self._end()

    @workflow.query(name="state")
    def state(self) -> RunState:
        """Return the state of the run, also after it ended."""
        return self._shell.state

    @workflow.signal(dynamic=True)
    def on_signal(self, name: str, arguments: Sequence[RawValue]) -> None:
        """Handle any signal. One that cannot be read is recorded as refused; nothing is raised."""
        message = _read(name, arguments)
        if isinstance(message, MalformedMessage):
            refused = MessageRefused(at=workflow.now(), verb=message.verb, code=message.code, reason=message.reason)
            self._shell.post(refused, is_message=True)
        else:
            self._post(message, request=f"signal-{workflow.uuid4()}", wants_answer=False)

    @workflow.update(dynamic=True)
    async def on_update(self, name: str, arguments: Sequence[RawValue]) -> Verdict:
        """Handle any verb and return its verdict."""
        message = _read(name, arguments)
        if isinstance(message, MalformedMessage):
            return Verdict(outcome="refused", code=message.code, detail=message.reason, at=workflow.now())
        request = f"update-{workflow.uuid4()}"
        self._post(message, request=request, wants_answer=True)
        await workflow.wait_condition(lambda: request in self._shell.verdicts)
        self._shell.wake()
        return self._shell.verdicts.pop(request)

    @on_update.validator
    def refuse_malformed(self, name: str, arguments: Sequence[RawValue]) -> None:
        """Reject a malformed update, which leaves no trace."""
        message = _read(name, arguments)
        if isinstance(message, MalformedMessage):
            raise ApplicationError(message.reason, type=message.code, non_retryable=True)

    def _post(self, message: ControlMessage, *, request: str, wants_answer: bool) -> None:
        received = MessageReceived(at=workflow.now(), message=message, request=request, wants_answer=wants_answer)
        self._shell.post(received, is_message=True)

    def _has_work(self) -> bool:
        return self._shell.is_awake or (self._is_ending and self._can_end())

    def _can_end(self) -> bool:
        """Return true if all handlers have finished; a cancelled run also waits for Temporal's own cancel."""
        if not workflow.all_handlers_finished():
            return False
        return self._shell.state.status != "cancelled" or self._was_cancel_requested or not self._is_cancel_asked

    def _drain_if_long(self) -> None:
        """Hold a busy run with a long history until it has continued as new, so that the history stays bounded."""
        if self._is_drain_asked or not self._should_continue_as_new():
            return
        is_long = workflow.info().get_current_history_length() > LONG_HISTORY
        if (is_long or self._shell.state.loops) and not self._shell.is_finished:
            self._is_drain_asked = True
            self._shell.post(DrainRequested(at=workflow.now()))

    def _should_continue_as_new(self) -> bool:
        return workflow.info().is_continue_as_new_suggested()

    def _notify_others_once(self) -> bool:
        """Notify other runs of the end, which the rows show by now; return false if there are none."""
        if self._has_notified_others:
            return False
        self._has_notified_others = True
        return self._shell.notify_others()

    def _ask_cancel_once(self) -> None:
        if not self._is_cancel_asked:
            self._is_cancel_asked = True
            self._shell.ask_cancel()

    def _end(self) -> RunResult:
        self._shell.show_end()
        state = self._shell.state
        result = RunResult(status=state.status, seq=state.seq, digest=digest_of_lines(state))
        if state.status == "cancelled":
            raise asyncio.CancelledError
        if state.status == "failed":
            error = state.error
            message, code = (error.message, error.code) if error else ("the run failed", "INTERNAL_ERROR")
            raise ApplicationError(message, result, type=code, non_retryable=True)
        return result


def _read(name: str, arguments: Sequence[RawValue]) -> ControlMessage | MalformedMessage:
    """Decode and read a message; a payload that no converter knows is malformed."""
    converter = workflow.payload_converter()
    values: list[Json] = []
    for argument in arguments:
        try:
            values.append(converter.from_payload(argument.payload))
        except Exception:
            return MalformedMessage(verb=name[:64], code="VALIDATION_ERROR", reason="the payload cannot be decoded")
    return read_message(name, values)

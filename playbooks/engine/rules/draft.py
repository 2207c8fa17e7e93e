"""The working copy of one transition: reads the old state, collects changes, events and commands.

It lives for one call of `advance`. Invariants: `seq` rises once per visible transition, and a step's `seq` is the
run's when it last changed.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Unpack

from playbooks.common.values import FINISHED_RUN, Actor, JsonObject, Verdict
from playbooks.engine.model.audit import AuditKind
from playbooks.engine.model.changes import InternalFields, StepFields, VisibleFields
from playbooks.engine.model.commands import Answer, Command, StartTimer, StopTimer
from playbooks.engine.model.plan import Plan
from playbooks.engine.model.state import AuditEvent, RunState, StepState
from playbooks.engine.model.step_ref import StepRef
from playbooks.engine.model.timers import STEP_TIMERS, RunTimer, StepTimer, StepTimerKind, parse_timer


class Draft:
    """A run on its way from one state to the next."""

    def __init__(self, plan: Plan, state: RunState, at: datetime) -> None:
        self.plan = plan
        self.at = at
        self.commands: list[Command] = []
        self._state = state
        self._next_seq = state.seq + 1
        self._is_visible = False
        self._owns_steps = False

    @property
    def state(self) -> RunState:
        return self._state

    @property
    def is_paused(self) -> bool:
        return self._state.pause is not None

    @property
    def is_finished(self) -> bool:
        return self._state.status in FINISHED_RUN

    @property
    def holds(self) -> bool:
        """Nothing new begins: the run is paused, or its workflow is about to continue as new."""
        return self._state.pause is not None or self._state.is_draining

    def step(self, key: str) -> StepState:
        return self._state.steps[key]

    def items_of(self, key: str) -> list[StepState]:
        """Return the items of a `for_each` step that have begun and are not counted yet."""
        items = [step for step in self._state.steps.values() if step.index is not None]
        return [step for step in items if step.key == str(StepRef(key, step.index))]

    def further_line(self) -> int:
        """Return a number for a line beside those of the steps' first visits."""
        line = self._state.next_line
        self.set_internal(next_line=line + 1)
        return line

    def archive_visit(self, step: StepState) -> StepState:
        """Take a finished visit or item out of the run; its line is part of the next flush, and final."""
        self._own_steps()
        del self._state.steps[step.key]
        self._state = replace(self._state, past=(*self._state.past, step))
        self._is_visible = True
        return step

    def set_visible(self, **fields: Unpack[VisibleFields]) -> None:
        self._state = replace(self._state, **fields)
        self._is_visible = True

    def set_internal(self, **fields: Unpack[InternalFields]) -> None:
        self._state = replace(self._state, **fields)

    def update_step(self, step: StepState, **fields: Unpack[StepFields]) -> StepState:
        """Store a step with these changes; its line is part of the next flush."""
        changed = replace(step, seq=self._next_seq, **fields)
        self._own_steps()
        self._state.steps[step.key] = changed
        self._is_visible = True
        return changed

    def _own_steps(self) -> None:
        if not self._owns_steps:
            self._state = replace(self._state, steps=dict(self._state.steps))
            self._owns_steps = True

    def record(
        self, kind: AuditKind, *, actor: Actor | None = None, step: str | None = None, data: JsonObject | None = None
    ) -> None:
        """Add an entry to the audit trail."""
        number = self._state.event_count + 1
        event = AuditEvent(number=number, at=self.at, kind=kind, actor=actor, step=step, data=data or {})
        self._state = replace(self._state, event_count=number, outbox=(*self._state.outbox, event))
        self._is_visible = True

    def command(self, command: Command) -> None:
        self.commands.append(command)

    def answer(self, request: str, verdict: Verdict, *, wanted: bool = True) -> None:
        if wanted:
            self.command(Answer(request=request, verdict=verdict))

    def start_timer(self, timer: RunTimer | StepTimer, due: datetime, summary: str) -> None:
        self.set_internal(timers={**self._state.timers, str(timer): due})
        self.command(StartTimer(timer=str(timer), due=due, summary=summary))

    def stop_timer(self, timer: str) -> None:
        if self.drop_timer(timer):
            self.command(StopTimer(timer=timer))

    def stop_step_timers(self, step: StepState, *kinds: StepTimerKind) -> None:
        """Stop the timers of a visit: those of these kinds, or all."""
        for name in self._state.timers:
            timer = parse_timer(name)
            if isinstance(timer, StepTimer) and timer.is_of(step.key, step.visit, kinds or STEP_TIMERS):
                self.stop_timer(name)

    def stop_all_timers(self) -> None:
        for name in self._state.timers:
            self.stop_timer(name)

    def drop_timer(self, timer: str) -> bool:
        """Forget a timer that fired; false where it was not running any more."""
        if timer not in self._state.timers:
            return False
        self.set_internal(timers={name: due for name, due in self._state.timers.items() if name != timer})
        return True

    def finish(self) -> tuple[RunState, tuple[Command, ...]]:
        """Return the next state and what has to be done."""
        if self._is_visible:
            self._state = replace(self._state, seq=self._next_seq)
        return self._state, tuple(self.commands)

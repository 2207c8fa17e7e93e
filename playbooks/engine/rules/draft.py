"""The working copy of one transition: reads the old state, collects changes, events and commands.

Lives for one call of `advance` and never leaves it. It protects two invariants: `seq` rises once per visible
transition, and a step's `seq` is the run's when it last changed.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from playbooks.common.values import FINISHED_RUN, Actor, JsonObject, Verdict
from playbooks.engine.model.commands import Answer, Command, StartTimer, StopTimer
from playbooks.engine.model.plan import Plan, PlanStep
from playbooks.engine.model.state import AuditEvent, RunState, StepState
from playbooks.engine.model.step_ref import StepRef


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
        """The items of a `for_each` step that have been begun and are not counted yet."""
        items = [step for step in self._state.steps.values() if step.index is not None]
        return [step for step in items if step.key == str(StepRef(key, step.index))]

    def further_line(self) -> int:
        """A number for a line beside those of the steps' first visits."""
        line = self._state.next_line
        self.note(next_line=line + 1)
        return line

    def retire(self, step: StepState) -> StepState:
        """Take a finished visit or item out of the run; its line is part of the next flush, and final."""
        self._own_steps()
        del self._state.steps[step.key]
        self.change(past=(*self._state.past, step))
        return step

    def change(self, **changes: Any) -> None:
        """Change fields of the run that its row shows."""
        self._state = replace(self._state, **changes)
        self._is_visible = True

    def note(self, **changes: Any) -> None:
        """Change fields of the run that no row shows."""
        self._state = replace(self._state, **changes)

    def put(self, step: StepState, **changes: Any) -> StepState:
        """Store a step with these changes; its line is part of the next flush."""
        changed = replace(step, seq=self._next_seq, **changes)
        self._own_steps()
        self._state.steps[step.key] = changed
        self._is_visible = True
        return changed

    def _own_steps(self) -> None:
        if not self._owns_steps:
            self._state = replace(self._state, steps=dict(self._state.steps))
            self._owns_steps = True

    def record(
        self, kind: str, *, actor: Actor | None = None, step: str | None = None, data: JsonObject | None = None
    ) -> None:
        """Add an event to the audit trail."""
        number = self._state.event_count + 1
        event = AuditEvent(number=number, at=self.at, kind=kind, actor=actor, step=step, data=data or {})
        self.change(event_count=number, outbox=(*self._state.outbox, event))

    def command(self, command: Command) -> None:
        self.commands.append(command)

    def answer(self, request: str, verdict: Verdict, *, wanted: bool = True) -> None:
        if wanted:
            self.command(Answer(request=request, verdict=verdict))

    def start_timer(self, timer: str, due: datetime, summary: str) -> None:
        self.note(timers={**self._state.timers, timer: due})
        self.command(StartTimer(timer=timer, due=due, summary=summary))

    def start_timer_in(self, timer: str, minutes: float, summary: str) -> datetime:
        due = self.at + timedelta(minutes=minutes)
        self.start_timer(timer, due, summary)
        return due

    def stop_timers(self, prefix: str = "") -> None:
        """Stop every timer whose name begins with `prefix`; the empty prefix stops all."""
        for timer in [name for name in self._state.timers if name.startswith(prefix)]:
            self.drop_timer(timer)
            self.command(StopTimer(timer=timer))

    def drop_timer(self, timer: str) -> bool:
        """Forget a timer that fired; false where it was not running any more."""
        if timer not in self._state.timers:
            return False
        self.note(timers={name: due for name, due in self._state.timers.items() if name != timer})
        return True

    def finish(self) -> tuple[RunState, tuple[Command, ...]]:
        """The next state and what has to be done."""
        if self._is_visible:
            self._state = replace(self._state, seq=self._next_seq)
        return self._state, tuple(self.commands)


def timer_name(kind: str, plan_step: PlanStep | StepState, visit: int, suffix: str = "") -> str:
    """Name of a step's timer; `timer_target` reads it back."""
    name = f"{kind}:{plan_step.key}:{visit}"
    return f"{name}:{suffix}" if suffix else name


def timer_target(timer: str) -> tuple[str, str, int] | None:
    """Kind, step key and visit of a step's timer; None for a timer of the run."""
    parts = timer.split(":")
    if len(parts) < 3 or not parts[2].isdigit():
        return None
    return parts[0], parts[1], int(parts[2])

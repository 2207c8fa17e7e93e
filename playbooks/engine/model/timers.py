"""Timers of a run. Its state and the shell use their text form: `deadline`, `retry:book:1`, `reminder:ok:1:0`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

RunTimer: TypeAlias = Literal["deadline", "resume", "concurrency"]
StepTimerKind: TypeAlias = Literal["retry", "timer", "window", "reminder", "repeat", "signal", "child"]

STEP_TIMERS: Final[tuple[StepTimerKind, ...]] = get_args(StepTimerKind)
_RUN_TIMERS: Final[dict[str, RunTimer]] = {name: name for name in get_args(RunTimer)}
_KINDS: Final[dict[str, StepTimerKind]] = {kind: kind for kind in STEP_TIMERS}


@dataclass(frozen=True, slots=True)
class StepTimer:
    """A timer of one visit of a step; `position` tells the reminders of a visit apart."""

    kind: StepTimerKind
    step: str
    visit: int
    position: int | None = None

    def is_of(self, step: str, visit: int, kinds: tuple[StepTimerKind, ...]) -> bool:
        return (self.step, self.visit) == (step, visit) and self.kind in kinds

    def __str__(self) -> str:
        name = f"{self.kind}:{self.step}:{self.visit}"
        return name if self.position is None else f"{name}:{self.position}"


def parse_timer(text: str) -> RunTimer | StepTimer:
    """Read a timer's text form. KeyError where it is none (a bug: the machine named it)."""
    if text in _RUN_TIMERS:
        return _RUN_TIMERS[text]
    kind, step, visit, *position = text.split(":")
    return StepTimer(_KINDS[kind], step, int(visit), int(position[0]) if position else None)

"""Commands of the machine to its shell, in the imperative."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias
from uuid import UUID

from playbooks.common.values import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareStep:
    """Evaluate condition and input in the lane; answered by `StepPrepared`."""

    step: str
    visit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStep:
    """Do one attempt: in the lane for a pure handler, as a regular activity otherwise; answered by `StepReported`."""

    step: str
    visit: int
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateLoop:
    """Evaluate in the lane the condition of a loop; answered by `LoopEvaluated`."""

    step: str
    visit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectItems:
    """Make a `for_each` step's output of its items' in the lane; answered by `ItemsCollected`."""

    step: str
    visit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadChild:
    """Read in the lane whether the run that a step waits for has ended; answered by `ChildRead`."""

    step: str
    visit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelChild:
    """Cancel with a regular activity the run that a step started, if there is one."""

    step: str
    visit: int
    child: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class AcquireConcurrency:
    """Acquire the concurrency limit with a regular activity; answered by `ConcurrencyReported`.

    `is_first`: where the policy says so, the oldest runs of the key are cancelled to make room.
    """

    is_first: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenTask:
    """Announce a person's task with a regular activity; its result is not awaited."""

    step: str
    visit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelStep:
    """Cancel whatever is in flight for this visit."""

    step: str
    visit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StartTimer:
    timer: str
    due: datetime
    summary: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StopTimer:
    timer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckMessage:
    """Verify a message in the lane, before other lane work; answered by `MessageChecked`."""

    request: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeOutput:
    """Evaluate the run's output in the lane; answered by `OutputMade`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notify:
    """Record a notification with a regular activity of its own."""

    kind: Literal["task_reminder", "run_finished"]
    key: str
    step: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Give an update its verdict."""

    request: str
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishRun:
    """Flush, then end the workflow."""


Command: TypeAlias = (
    PrepareStep
    | RunStep
    | EvaluateLoop
    | CollectItems
    | ReadChild
    | CancelChild
    | AcquireConcurrency
    | OpenTask
    | CancelStep
    | StartTimer
    | StopTimer
    | CheckMessage
    | MakeOutput
    | Notify
    | Answer
    | FinishRun
)

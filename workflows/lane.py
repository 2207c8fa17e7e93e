"""The lane: at most one outstanding local activity per run, in order, control messages first.

With several outstanding local activities the SDK's replay can hand a result to the wrong one; one lane cannot.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass

from workflows import calls


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneJob:
    """`run` does the work and returns the milliseconds it took; `is_control` jobs outlive the run's end."""

    run: Callable[[], Awaitable[int]]
    is_control: bool = False


class Lane:
    """A queue of pure work with one worker."""

    def __init__(
        self,
        spawn: Callable[[Coroutine[None, None, None]], asyncio.Task[None]],
        before_yield: Callable[[], None],
    ) -> None:
        self._jobs: deque[LaneJob] = deque()
        self._task: asyncio.Task[None] | None = None
        self._spent_ms = 0
        self._is_yielding = False
        self._spawn = spawn
        self._before_yield = before_yield

    @property
    def is_idle(self) -> bool:
        return self._task is None

    @property
    def rests(self) -> bool:
        """Return true if no local activity is outstanding and none begins before the next event."""
        return self.is_idle or self._is_yielding

    def put(self, job: LaneJob) -> None:
        """Queue a job: control messages before steps, otherwise in order."""
        if job.is_control:
            position = next((i for i, other in enumerate(self._jobs) if not other.is_control), len(self._jobs))
            self._jobs.insert(position, job)
        else:
            self._jobs.append(job)
        if self._task is None:
            self._task = self._spawn(self._work())

    def drop_steps(self) -> None:
        """Drop jobs that the end of the run made pointless; control messages still get their verdict."""
        self._jobs = deque(job for job in self._jobs if job.is_control)

    async def _work(self) -> None:
        while self._jobs:
            if self._spent_ms >= calls.LANE_BUDGET_MS:
                self._spent_ms = 0
                self._before_yield()
                self._is_yielding = True
                await calls.end_workflow_task()
                self._is_yielding = False
                continue
            self._spent_ms += await self._jobs.popleft().run()
        self._task = None

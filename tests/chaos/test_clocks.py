"""The wall clock of our processes is stepped by hours, forward and back, under live runs.

Covered: every reading of the wall clock in worker and API, by Python, uvloop or the SDK's core in Rust, through libc
(a small C library is preloaded; it needs `cc`). Not covered: PostgreSQL and Temporal, which keep the time; a machine
whose kernel slews; a clock before the instant at which a token was issued, because such a token is rightly refused.
"""

from __future__ import annotations

import asyncio
import os
import struct
import subprocess
import sys
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import pytest

from cli.servers.processes import ChildProcess
from tests.chaos.scene import Place, play, running_place
from tests.support.stack import Stack

pytestmark = pytest.mark.soak
Ours: TypeAlias = Literal["worker", "api"]
HOUR = 3600
STEPS = (6 * HOUR, 0, HOUR, 9 * HOUR, 0)
"""Seconds by which the clock is ahead, one after the other; people's tokens are valid for 12 hours."""


@dataclass
class ClockedStack(Stack):
    """Worker and API each have a clock that can be stepped."""

    ahead: dict[Ours, int] = field(default_factory=dict[Ours, int])
    library: Path | None = None

    def step(self, part: Ours, seconds: int) -> None:
        """In place: the processes have the file mapped."""
        file = os.open(self.clock(part), os.O_WRONLY | os.O_CREAT)
        try:
            os.pwrite(file, struct.pack("=q", seconds), 0)
        finally:
            os.close(file)

    def clock(self, part: Ours) -> Path:
        return self.folder / f"clock.{part}"

    def _spawn(self, *command: str) -> ChildProcess:
        (part,) = (part for part in get_args(Ours) if part == command[0])
        self.step(part, 0)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("LD_PRELOAD", str(self._built()))
            patch.setenv("CHAOS_CLOCK", str(self.clock(part)))
            return super()._spawn(*command)

    def _built(self) -> Path:
        if self.library is None:
            self.library = self.folder / "clock_shim.so"
            source = Path(__file__).with_name("clock_shim.c")
            subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", self.library, source], check=True)
        return self.library

    def time_of(self, part: Ours) -> float:
        """The time that a process of ours with this clock reads."""
        env = {**self.environment, "LD_PRELOAD": str(self._built()), "CHAOS_CLOCK": str(self.clock(part))}
        code = "import time; from datetime import datetime, UTC; print(datetime.now(UTC).timestamp())"
        return float(subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, check=True).stdout)


@pytest.fixture(scope="module")
def place() -> Generator[Place]:
    def make(folder: Path) -> Stack:
        return ClockedStack(folder)

    with running_place(make) as running:
        yield running


@pytest.mark.parametrize("parts", [("worker", "api"), ("worker",), ("api",)], ids="-".join)
async def test_every_run_goes_on_when_clocks_are_stepped(place: Place, parts: tuple[Ours, ...]) -> None:
    stack = place.stack
    assert isinstance(stack, ClockedStack)

    async def step() -> None:
        for seconds in STEPS:
            for part in parts:
                stack.step(part, seconds)
                ahead = await asyncio.to_thread(stack.time_of, part) - _now()
                assert abs(ahead - seconds) < 10, "the clock must be stepped"
            await asyncio.sleep(3)

    await play(place, f"clock of {' and '.join(parts)}", step, runs=100)


def _now() -> float:
    import time

    return time.time()

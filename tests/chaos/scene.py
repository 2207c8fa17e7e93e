"""One fault under load: the runs it hit in mid-step, how soon they moved again, and the verdict."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from uuid import uuid4

import pytest

from tests.chaos.comparing import Comparisons, comparing
from tests.chaos.crowd import Crowd
from tests.chaos.judge import all_ended, assert_sound, watching
from tests.support.servers import scratch_folder
from tests.support.stack import Stack
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]
PLUGIN = ROOT / "benchmarks" / "plugin"
MOVES_WITHIN, MOST_MOVE_WITHIN = 30.0, 10.0
"""Seconds after a single kill within which every run, and 99 of 100, must have moved."""
STARTS_A_SECOND = 10
"""Half of them have effects that take seconds: many runs are live while two cores still have room for a recovery."""
MID_STEP = 5
"""Effects that must be at work when a fault comes: a scene in which nothing was hit proves nothing."""
ALL_EQUAL_AFTER = 30.0
"""Seconds after the last fault from when on no comparison of a row with its workflow may fail."""


def seed() -> int:
    """From CHAOS_SEED, or one that is printed with the first scene."""
    return int(os.environ.get("CHAOS_SEED") or _DRAWN)


_DRAWN = Random().randrange(1_000_000)


@contextmanager
def running_place(make: Callable[[Path], Stack] = Stack) -> Generator[Place]:
    """A stack whose workers know `bench_sleep`, which notes every execution."""
    with scratch_folder() as folder, pytest.MonkeyPatch.context() as patch:
        effects = folder / "effects.txt"
        patch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{PLUGIN}")
        patch.setenv("BENCH_EFFECTS", str(effects))
        stack = make(folder)
        stack.is_durable = True
        try:
            stack.start()
            yield Place(stack, effects)
        finally:
            stack.stop()


@dataclass(frozen=True)
class Place:
    stack: Stack
    effects: Path

    async def crowd(self, name: str) -> Crowd:
        """A crowd, in an organization of its own, that does the same for the same seed and name."""
        print(f"\nCHAOS_SEED={seed()} {name}")
        code = f"chaos-{uuid4().hex[:12]}"
        organization_id = await asyncio.to_thread(self.stack.make_organization, code)
        return Crowd(self.stack, self.effects, Random(f"{seed()} {name}"), code, organization_id)


@dataclass(frozen=True, kw_only=True)
class Report:
    """`hit`: effects that were at work when the fault came. `live`: runs that were unfinished at its end and waited
    for nobody; `moved`: seconds after that, sorted, until each of their rows moved.

    `twice`: effects that were done again under their key because their worker was thought lost.
    """

    hit: int
    moved: list[float]
    live: int
    twice: int
    compared: Comparisons

    @property
    def p99(self) -> float:
        return self.moved[max(0, -(-len(self.moved) * 99 // 100) - 1)] if self.moved else 0.0

    @property
    def last(self) -> float:
        return self.moved[-1] if self.moved else 0.0

    def __str__(self) -> str:
        half = self.moved[len(self.moved) // 2] if self.moved else 0.0
        moved = f"{len(self.moved)} of {self.live} live runs moved again: p50 {half:.1f} s, p99 {self.p99:.1f} s, "
        moved += f"last {self.last:.1f} s"
        return f"{self.hit} effects hit, {moved}; {self.twice} effects done again under their key; {self.compared}"


async def play(
    place: Place,
    name: str,
    fault: Callable[[], Awaitable[None]],
    *,
    runs: int,
    moves_within: float | None = MOVES_WITHIN,
    most_within: float | None = None,
    does_again: bool = True,
    ends_within: float = 120.0,
) -> Report:
    """The fault comes when half of the runs are accepted; the others are offered meanwhile; all have to end well.

    `moves_within`, `most_within`: seconds from the end of the fault in which every run, and 99 of 100, must have moved.
    `does_again` false: nobody may think an effect's worker lost, so no effect is done again.
    """
    crowd = await place.crowd(name)
    async with watching(crowd) as watch, crowd.at_work(), comparing(crowd) as compared:
        offering = asyncio.create_task(crowd.offer(runs, over=runs / STARTS_A_SECOND))
        await until_in_mid_step(crowd, accepted=runs // 2)
        hit = len(crowd.in_mid_step())
        await fault()
        over = time.monotonic()
        live = watch.able_to_move()
        await offering
        await all_ended(crowd, watch, ends_within)
    moved = watch.seconds_until_moved(live, over)
    report = Report(hit=hit, moved=moved, live=len(live), twice=crowd.done_twice(), compared=compared)
    print(f"{name}: {report}, all ended {time.monotonic() - over:.1f} s after the fault; {machine()}")
    await asyncio.to_thread(assert_sound, crowd, watch)
    assert compared.unequal_after(over + ALL_EQUAL_AFTER) == []
    assert does_again or report.twice == 0, report
    assert len(moved) == len(live), report
    assert moves_within is None or report.last <= moves_within, report
    if most_within is not None:
        slow = sum(1 for seconds in moved if seconds > most_within)
        assert slow <= max(1, len(live) // 100), report
    return report


def machine() -> str:
    """How busy it is, others' work included: seconds that were measured on a busy machine mean little."""
    return f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"


async def until_in_mid_step(crowd: Crowd, *, accepted: int = 1) -> None:
    """Wait until so many runs are accepted, and effects of some of them are at work."""
    await eventually(lambda: len(crowd.accepted) >= accepted and len(crowd.in_mid_step()) >= MID_STEP, 60, every=0.02)

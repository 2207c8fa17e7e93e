"""Rows and workflows agree while everything moves: 99.9 % of comparisons, 2 s of lag allowed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator

import pytest

from tests.chaos.comparing import comparing
from tests.chaos.judge import all_ended, assert_sound, watching
from tests.chaos.scene import Place, machine, running_place

pytestmark = pytest.mark.soak
SHARE = 0.999
RUNS_A_SECOND = 2.5
ENOUGH = 1_000
"""Comparisons below which a share of 99.9 % means nothing."""


@pytest.fixture(scope="module")
def place() -> Generator[Place]:
    with running_place() as running:
        yield running


async def test_rows_equal_their_workflows_when_runs_come_and_go(place: Place) -> None:
    """A steady load, about half of what two cores can do: beyond that rows wait in the same queue as all other work."""
    crowd = await place.crowd("consistency")
    most = 0
    async with watching(crowd) as watch, crowd.at_work(), comparing(crowd, at_once=16, rest=0.2) as compared:
        deadline = time.monotonic() + 150
        while compared.count < ENOUGH and time.monotonic() < deadline:
            await crowd.offer(10, over=10 / RUNS_A_SECOND)
            most = max(most, len(watch.unfinished()))
        await all_ended(crowd, watch, 60)
    print(f"consistency: {compared}, {len(crowd.accepted)} runs, up to {most} live; {machine()}")
    assert compared.count >= ENOUGH, compared
    assert compared.share >= SHARE, compared.unequal
    await asyncio.to_thread(assert_sound, crowd, watch)

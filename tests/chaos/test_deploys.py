"""A worker with changed code meets old histories: runs are marked as stuck, and go on with the code that they know."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.chaos.faults import kill, start
from tests.chaos.judge import FINISHED, all_ended, assert_sound, watching
from tests.chaos.scene import Place, running_place, until_in_mid_step
from tests.support.stack import Stack
from tests.support.waiting import eventually

pytestmark = pytest.mark.soak
CHANGED = Path(__file__).parent / "changed_code"
RUNS = 60
STUCK_WITHIN = 90.0
_STUCK = """SELECT id::text, metadata->'stuck'->>'reason' AS reason FROM universal_transactions
    WHERE organization_id = $1 AND transaction_type = 'PLAYBOOK_RUN' AND metadata->'stuck'->>'reason' IS NOT NULL"""


@dataclass
class DeployingStack(Stack):
    """The next worker may be one with changed code."""

    def start_changed_worker(self) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PYTHONPATH", f"{os.environ['PYTHONPATH']}{os.pathsep}{CHANGED}")
            self.start_worker()


@pytest.fixture(scope="module")
def place() -> Generator[Place]:
    def make(folder: Path) -> Stack:
        return DeployingStack(folder)

    with running_place(make) as running:
        yield running


async def test_runs_are_stuck_and_go_on_when_changed_code_came_and_went(place: Place) -> None:
    """No run is offered meanwhile: one that begins under the changed code has a history that the old cannot replay."""
    stack = place.stack
    assert isinstance(stack, DeployingStack)
    crowd = await place.crowd("changed code")
    async with watching(crowd) as watch, crowd.at_work():
        await crowd.offer(RUNS)
        await eventually(lambda: all(watch.now.get(run, (0, ""))[0] > 0 for run in crowd.accepted))
        await until_in_mid_step(crowd)
        hit = len(crowd.in_mid_step())
        await asyncio.to_thread(kill, stack, ["worker"])
        await asyncio.sleep(0.5)
        live, working = watch.unfinished(), crowd.runs_in_mid_step()
        assert hit > 0
        await asyncio.to_thread(stack.start_changed_worker)

        async def all_stuck() -> dict[str, str] | None:
            found = await asyncio.to_thread(stack.rows, _STUCK, crowd.organization_id)
            return {row["id"]: row["reason"] for row in found} if working <= {row["id"] for row in found} else None

        stuck = await eventually(all_stuck, STUCK_WITHIN, every=0.5)
        # A run whose last flush was on its way already may be finished in its row: no workflow code was needed for it.
        assert {run for run in working if watch.now[run][1] in FINISHED} == set(), "changed code must not finish them"
        await asyncio.to_thread(kill, stack, ["worker"])
        await asyncio.to_thread(start, stack, ["worker"])
        await all_ended(crowd, watch, 120)
    print(f"changed code: {hit} effects hit, {len(stuck)} of {len(live)} live runs were stuck ({set(stuck.values())})")
    assert await asyncio.to_thread(stack.rows, _STUCK, crowd.organization_id) == [], "the marks must go"
    await asyncio.to_thread(assert_sound, crowd, watch)

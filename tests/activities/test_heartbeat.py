"""Regular activities beat by themselves, and a cancel reaches the work."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from activities import heartbeat
from activities.heartbeat import with_heartbeat


async def test_activity_beats_when_it_only_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "BEAT_EVERY", heartbeat.BEAT_EVERY / 50)
    beats: list[Any] = []
    environment = ActivityEnvironment()
    environment.on_heartbeat = lambda *details: beats.append(details)

    async def work() -> str:
        await asyncio.sleep(0.2)
        return "done"

    async def run() -> str:
        return await with_heartbeat(work())

    assert await environment.run(run) == "done"
    count = len(beats)
    assert count >= 3
    await asyncio.sleep(0.1)
    assert len(beats) == count, "nothing beats after the end"


async def test_work_is_cancelled_when_the_activity_is() -> None:
    environment = ActivityEnvironment()
    seen: list[str] = []
    begun = asyncio.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    async def run() -> None:
        await with_heartbeat(work())

    running = asyncio.create_task(environment.run(run))
    await begun.wait()
    environment.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert seen == ["cancelled"]

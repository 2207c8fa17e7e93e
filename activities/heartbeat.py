"""Heartbeats of regular activities, sent in the background so that no handler has to send them.

The first one is sent after a while: most activities are done by then, and each costs the server as much as a step's
start. With them a dead worker is noticed within the heartbeat timeout, and a cancel reaches an activity that only
waits: Temporal answers a heartbeat with it, and the SDK cancels the coroutine.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any, TypeVar

from temporalio import activity

BEAT_EVERY = timedelta(seconds=1.5)

_ResultT = TypeVar("_ResultT")


async def with_heartbeat(work: Coroutine[Any, Any, _ResultT]) -> _ResultT:
    """Await `work` inside an activity, and send heartbeats meanwhile. Cancellation passes through to `work`."""
    beat = asyncio.create_task(_beat())
    try:
        return await work
    finally:
        beat.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await beat


async def _beat() -> None:
    while True:
        await asyncio.sleep(BEAT_EVERY.total_seconds())
        activity.heartbeat()

"""Poll rows until a condition holds. No connection is held between two reads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

PROJECTION_SECONDS = 3.0
"""How long a request polls for the effect of an accepted update in the rows."""

_FIRST_DELAY_SECONDS = 0.05
_GROWTH = 1.5
_MAX_DELAY_SECONDS = 0.5


async def poll(
    read: Callable[[], Awaitable[T]],
    holds: Callable[[T], bool],
    seconds: float,
    *,
    is_wanted: Callable[[], Awaitable[bool]] | None = None,
) -> tuple[T, bool]:
    """Return the last value of `read`, and whether `holds` is true of it.

    Gives up after `seconds`, or when `is_wanted` is false. Reads at once, then every 50 to 500 ms. Errors of `read`
    pass through.
    """
    deadline = time.monotonic() + seconds
    delay = _FIRST_DELAY_SECONDS
    while True:
        value = await read()
        if holds(value):
            return value, True
        left = deadline - time.monotonic()
        if left <= 0 or (is_wanted is not None and not await is_wanted()):
            return value, False
        await asyncio.sleep(min(delay, left))
        delay = min(delay * _GROWTH, _MAX_DELAY_SECONDS)

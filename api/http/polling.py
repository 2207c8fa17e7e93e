"""Wait until rows show something, without holding a connection meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

_FIRST_DELAY_SECONDS = 0.05
_GROWTH = 1.5
_MAX_DELAY_SECONDS = 0.5


async def until(
    read: Callable[[], Awaitable[T]],
    holds: Callable[[T], bool],
    seconds: float,
    *,
    is_wanted: Callable[[], Awaitable[bool]] | None = None,
) -> tuple[T, bool]:
    """What `read` gave last, and whether it `holds`; gives up after `seconds`, or when nobody wants it any more.

    Reads at once, then every 50 to 500 ms. Errors of `read` pass.
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

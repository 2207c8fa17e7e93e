"""Waiting for what other processes do: by a deadline, never by a number of looks.

Machines differ in speed by an order of magnitude. A deadline is the longest that the awaited thing may take on a slow
one; a fast machine does not wait for it.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar, cast, overload

T = TypeVar("T")


def wait_until(look: Callable[[], T], seconds: float, what: str, *, every: float = 0.1) -> T:
    """Call `look` until it returns something true, and return that. AssertionError when it does not in time."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}; the last look gave {found!r}"
        time.sleep(every)
    return found


@overload
async def eventually(look: Callable[[], Awaitable[T | None]], seconds: float = ..., *, every: float = ...) -> T: ...
@overload
async def eventually(look: Callable[[], T | None], seconds: float = ..., *, every: float = ...) -> T: ...
async def eventually(
    look: Callable[[], Awaitable[T | None] | T | None], seconds: float = 30, *, every: float = 0.05
) -> T:
    """`wait_until` for the event loop: `look` may be a coroutine function, which is cut off at the deadline, too."""
    found: T | None = None
    try:
        async with asyncio.timeout(seconds):
            while True:
                answer = look()
                found = await answer if inspect.isawaitable(answer) else cast("T", answer)
                if found:
                    return found
                await asyncio.sleep(every)
    except TimeoutError as error:
        raise AssertionError(f"waited {seconds} s; the last look gave {found!r}") from error


async def holds(look: Callable[[], Awaitable[object] | object], seconds: float, *, every: float = 0.05) -> None:
    """Assert that `look` stays true for this time: that something does not happen."""
    deadline = time.monotonic() + seconds
    while True:
        answer = look()
        assert await answer if inspect.isawaitable(answer) else answer
        if time.monotonic() >= deadline:
            return
        await asyncio.sleep(every)

"""Ctrl-C, SIGTERM and a closed terminal as one exception, so that `finally` and context managers clean up."""

from __future__ import annotations

import signal
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopRequested(BaseException):
    """A signal asked this process to end. Not an Exception: nothing but the command itself may catch it."""


@contextmanager
def stop_requests_raised() -> Generator[None]:
    """Within the block the first signal raises StopRequested; later ones are ignored while cleaning up."""

    def ask(_number: int, _frame: FrameType | None) -> None:
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        raise StopRequested

    before = {each: signal.signal(each, ask) for each in _SIGNALS}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)

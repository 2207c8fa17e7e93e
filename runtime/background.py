"""Background work of a process: repeated rounds that outlive outages, and items that rest between attempts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import structlog
from temporalio.service import RPCError

from playbooks.common.errors import UnavailableError

_Key = TypeVar("_Key", bound=Hashable)
_Result = TypeVar("_Result")

_log = structlog.get_logger("runtime.background")


async def run_every(seconds: float, do_round: Callable[[], Awaitable[object]], name: str) -> None:
    """Call `do_round` again and again, with a pause after each, until cancelled. Nothing that it raises ends the loop.

    An outage of the database or of Temporal is logged at its begin and at its end.
    """
    is_away = False
    while True:
        try:
            await do_round()
            if is_away:
                _log.info("background_work_resumed", work=name)
            is_away = False
        except (UnavailableError, RPCError) as error:
            if not is_away:
                _log.warning("background_work_waits", work=name, reason=type(error).__name__)
            is_away = True
        except Exception:
            # A loop that ends loses what it is there for, silently; the next round may succeed.
            _log.exception("background_work_failed", work=name)
        await asyncio.sleep(seconds)


async def isolate_failure(work: Awaitable[_Result], otherwise: _Result, event: str, **facts: str) -> _Result:
    """Await `work`; log a failure as `event` and return `otherwise`, so that one item does not stop the others.

    Raises UnavailableError or RPCError: an outage concerns every item.
    """
    try:
        return await work
    except (UnavailableError, RPCError):
        raise
    except Exception:
        _log.exception(event, **facts)
        return otherwise


@dataclass(slots=True)
class Cooldown(Generic[_Key]):
    """Items that one process leaves alone for a while. `key in cooldown` is true until its time is over."""

    _until: dict[_Key, float] = field(default_factory=dict[_Key, float])

    def start(self, key: _Key, seconds: float) -> None:
        self._until[key] = time.monotonic() + seconds

    def __contains__(self, key: _Key) -> bool:
        return self._until.get(key, 0.0) > time.monotonic()

    def forget_expired(self) -> int:
        """Forget items whose time is over, once a round; return the number of those that still rest."""
        now = time.monotonic()
        for key in [key for key, until in self._until.items() if until <= now]:
            del self._until[key]
        return len(self._until)

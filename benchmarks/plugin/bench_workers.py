"""Two workers as a package of somebody else would install them: an effect that does nothing, and one that takes time.

`bench_sleep` writes its idempotency key to the file that `BENCH_EFFECTS` names, once when it begins and once when it is
done: so it shows what was executed twice.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass

from activities.handler import HandlerCall, HandlerResult
from playbooks.document.handler_catalog import HandlerDescription


def _described(name: str, summary: str) -> HandlerDescription:
    schema = {"type": "object", "properties": {"ms": {"type": "integer"}}, "additionalProperties": False}
    return HandlerDescription(name=name, step_type="system", is_pure=False, config_schema=schema, summary=summary)


@dataclass(frozen=True)
class Noop:
    """Does nothing, as an effect."""

    description: HandlerDescription

    async def run(self, call: HandlerCall) -> HandlerResult:
        return HandlerResult(output={})


@dataclass(frozen=True)
class Sleep:
    """Takes `config.ms` milliseconds."""

    description: HandlerDescription

    async def run(self, call: HandlerCall) -> HandlerResult:
        note("begin", call.effect_key)
        milliseconds = call.config.get("ms")
        await asyncio.sleep((milliseconds if isinstance(milliseconds, int) else 0) / 1000)
        note("done", call.effect_key)
        return HandlerResult(output={})


def note(what: str, key: str) -> None:
    """One line, written at once: a process that is killed has written all of it or nothing."""
    path = os.environ.get("BENCH_EFFECTS")
    if path:
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(file, f"{what} {key}\n".encode())
        finally:
            os.close(file)


NOOP = Noop(_described("bench_noop", "An effect that does nothing."))
SLEEP = Sleep(_described("bench_sleep", "An effect that takes time."))

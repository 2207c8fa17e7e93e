"""Faults of a stack's processes, by name: killed, frozen, started again."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Sequence
from typing import Literal, TypeAlias

import psutil

from tests.support.stack import Stack

Part: TypeAlias = Literal["worker", "api", "postgres", "temporal"]
PARTS: tuple[Part, ...] = ("worker", "api", "postgres", "temporal")

# In this order they can be started: each needs those before it.
_ORDER: tuple[Part, ...] = ("postgres", "temporal", "api", "worker")


def processes_of(stack: Stack, part: Part) -> list[psutil.Process]:
    """The part's process and those that it has started."""
    children = {"worker": stack.worker, "api": stack.api}
    servers = {"postgres": stack.postgres, "temporal": stack.temporal}
    child = children.get(part)
    if child is None:
        server = servers[part]
        assert server is not None
        child = server.process
    first = psutil.Process(child.pid)
    return [first, *first.children(recursive=True)]


def kill(stack: Stack, parts: Sequence[Part]) -> None:
    """SIGKILL for every process of these parts, at once."""
    victims = [process for part in parts for process in processes_of(stack, part)]
    for victim in victims:
        _send(victim, signal.SIGKILL)
    for part in parts:
        child = {"worker": stack.worker, "api": stack.api}.get(part)
        server = {"postgres": stack.postgres, "temporal": stack.temporal}.get(part)
        popen = child.popen if child else server.process.popen if server else None
        assert popen is not None
        popen.wait(10)
    psutil.wait_procs(victims, timeout=10)


def start(stack: Stack, parts: Sequence[Part]) -> None:
    """Start what was killed, as an operator's supervisor would."""
    starts = {
        "postgres": stack.start_postgres,
        "temporal": stack.start_temporal,
        "api": stack.start_api,
        "worker": stack.start_worker,
    }
    for part in _ORDER:
        if part in parts:
            starts[part]()


async def freeze(stack: Stack, parts: Sequence[Part], seconds: float) -> None:
    """SIGSTOP for so long, then SIGCONT: neither dead nor alive, with every connection open."""
    victims = [process for part in parts for process in processes_of(stack, part)]
    for victim in victims:
        _send(victim, signal.SIGSTOP)
    try:
        await asyncio.sleep(seconds)
    finally:
        for victim in victims:
            _send(victim, signal.SIGCONT)


async def kill_and_start(stack: Stack, parts: Sequence[Part], *, away: float = 0.0) -> None:
    """Kill, leave it so for a while, start again."""
    await asyncio.to_thread(kill, stack, parts)
    await asyncio.sleep(away)
    await asyncio.to_thread(start, stack, parts)


def _send(process: psutil.Process, what: signal.Signals) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(what)

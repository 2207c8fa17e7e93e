"""J3: many runs that wait for one approval each, and then get it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from benchmarks import playbooks, yardstick
from benchmarks.jobs import Size
from benchmarks.place import Place, now
from benchmarks.report import Figure, side_of

_IDLE_SECONDS = 15
_AT_ONCE = 32


async def many_waiting(place: Place, size: Size) -> list[Figure]:
    """Seconds until all wait, and from the first approval until all are complete; memory and processor meanwhile."""
    version = await place.publish(playbooks.one_approval())
    ours: list[_Taken] = []
    hand: list[tuple[float, float, float]] = []
    for _ in range(size.pairs):
        ours.append(await _ours(place, version, size))
        hand.append(await _by_hand(place, size))
    waiting, approved = side_of([took.waiting for took in ours]), side_of([took.approved for took in ours])
    idle = {name: [took.idle[name] * 100 / _IDLE_SECONDS for took in ours] for name in ours[0].idle}
    others = [sum(values) for values in zip(idle["api"], idle["postgres"], idle["temporal"], strict=True)]
    return [
        Figure(job="J3 until all wait", unit="s", ours=waiting, yard=side_of([took[0] for took in hand]), at_most=1.5),
        Figure(
            job="J3 approval to all complete",
            unit="s",
            ours=approved,
            yard=side_of([took[1] for took in hand]),
            at_most=1.5,
        ),
        # Later rounds find the memory that the first one left free.
        Figure(
            job="J3 worker memory a waiting run",
            unit="KB",
            ours=side_of([ours[0].kilobytes]),
            yard=side_of([hand[0][2]]),
            limit=100,
        ),
        Figure(job="J3 worker, waiting", unit="% of a core", ours=side_of(idle["worker"]), limit=5),
        Figure(job="J3 API, PostgreSQL and Temporal, waiting", unit="% of a core", ours=side_of(others)),
    ]


@dataclass(frozen=True, kw_only=True)
class _Taken:
    """Cost of one round of ours: seconds, kilobytes a run, processor seconds while all waited."""

    waiting: float
    approved: float
    kilobytes: float
    idle: dict[str, float]


async def _ours(place: Place, version: str, size: Size) -> _Taken:
    done_before = await place.count(version, "completed")
    bytes_before = place.worker_bytes()
    began = now()
    runs = await asyncio.gather(*(place.execute(version) for _ in range(size.waiting)))
    open_tasks = "SELECT count(*) FROM core_entities WHERE entity_type = 'playbook_task' AND status = 'open'"

    async def all_wait() -> bool:
        return await place.database.fetchval(open_tasks) >= size.waiting

    await place.until(all_wait, seconds=600, every=0.1)
    waiting = now() - began
    kilobytes = (place.worker_bytes() - bytes_before) / 1024 / size.waiting
    await asyncio.sleep(5)
    idle_before = place.cpu_seconds()
    await asyncio.sleep(_IDLE_SECONDS)
    idle = {name: used - idle_before[name] for name, used in place.cpu_seconds().items()}
    began = now()
    await _approve_all(place, runs)

    async def all_done() -> bool:
        return await place.count(version, "completed") >= done_before + size.waiting

    await place.until(all_done, seconds=600, every=0.1)
    return _Taken(waiting=waiting, approved=now() - began, kilobytes=kilobytes, idle=idle)


async def _approve_all(place: Place, runs: list[str]) -> None:
    found = await place.database.fetch(
        "SELECT id, entity_code FROM core_entities WHERE entity_type = 'playbook_task' AND status = 'open'"
    )
    wanted = set(runs)
    tasks = [str(row["id"]) for row in found if row["entity_code"] in wanted]
    gate = asyncio.Semaphore(_AT_ONCE)

    async def approve(task: str) -> None:
        async with gate:
            answer = await place.http.post(f"/tasks/{task}/decisions", json={"decision": "approve"})
            assert answer.status_code == 200, answer.text

    await asyncio.gather(*(approve(task) for task in tasks))


async def _by_hand(place: Place, size: Size) -> tuple[float, float, float]:
    gate = asyncio.Semaphore(_AT_ONCE)

    async def start() -> Any:
        async with gate:
            return await place.temporal.start_workflow(
                yardstick.HandApproval.run, id=f"hand/{uuid4()}", task_queue=yardstick.QUEUE
            )

    async def signal(handle: Any) -> None:
        async with gate:
            await handle.signal(yardstick.HandApproval.approve)

    async def waits(handle: Any) -> bool:
        async with gate:
            described = await handle.describe()
        return described.history_length >= _EVENTS_UNTIL_WAITING

    bytes_before = place.yardstick_bytes()
    began = now()
    handles = list(await asyncio.gather(*(start() for _ in range(size.waiting))))
    left = handles
    while left:
        waiting = await asyncio.gather(*(waits(handle) for handle in left))
        left = [handle for handle, is_waiting in zip(left, waiting, strict=True) if not is_waiting]
        await asyncio.sleep(0.1)
    until_waiting = now() - began
    kilobytes = (place.yardstick_bytes() - bytes_before) / 1024 / size.waiting
    began = now()
    await asyncio.gather(*(signal(handle) for handle in handles))
    await asyncio.gather(*(handle.result() for handle in handles))
    return until_waiting, now() - began, kilobytes


_EVENTS_UNTIL_WAITING = 10
"""Started, three of the first workflow task, three of the activity, three of the second workflow task."""

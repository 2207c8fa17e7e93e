"""The jobs: each measures the service and its yardstick in turn, in the same minute, on the same server.

A job answers figures. Every time is taken from outside: for ours from the REST call to the completed row, for the
yardstick from the start of the workflow to its result.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from benchmarks import playbooks, yardstick
from benchmarks.place import Place, now
from benchmarks.report import Figure, Side, percentile, side_of


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much of everything: `small` to try the jobs out, `full` for figures that count."""

    rounds: int = 3
    pairs: int = 2
    row: int = 50
    burst: int = 300
    waiting: int = 1_000
    parallel: int = 100
    killed: int = 100
    stored: int = 1_000_000


SMALL = Size(rounds=1, pairs=1, row=20, burst=100, waiting=50, parallel=30, killed=20, stored=20_000)
FULL = Size()

Measured = Callable[[], Awaitable[float]]


async def in_turn(place: Place, rounds: int, **measured: Measured) -> dict[str, Side]:
    """Each once to warm up, then A B A B; what each measured, and the processor time of every process meanwhile."""
    taken: dict[str, list[float]] = {name: [] for name in measured}
    used: dict[str, list[dict[str, float]]] = {name: [] for name in measured}
    for number, name in itertools.product(range(rounds + 1), measured):
        before = place.cpu_seconds()
        value = await measured[name]()
        after = place.cpu_seconds()
        if number:
            taken[name].append(value)
            used[name].append({process: after[process] - before[process] for process in after})
    return {name: side_of(taken[name], used[name]) for name in measured}


# --- the service


async def run_one(place: Place, playbook: str) -> float:
    """Seconds from the REST call to the row with status completed."""
    began = now()
    run = await place.execute(playbook)
    query = "SELECT transaction_status = 'completed' FROM universal_transactions WHERE id = $1"

    async def is_done() -> bool:
        return bool(await place.database.fetchval(query, UUID(run)))

    await place.until(is_done, seconds=120, every=0.005)
    return now() - began


async def run_many(place: Place, playbook: str, count: int, starts: list[float]) -> float:
    """Runs per second, all offered at once; `starts` gets the milliseconds that each start took its caller."""
    before, began = await place.count(playbook, "completed"), now()
    gate = asyncio.Semaphore(32)

    async def execute() -> None:
        async with gate:
            asked = now()
            await place.execute(playbook)
            starts.append((now() - asked) * 1000)

    await asyncio.gather(*(execute() for _ in range(count)))

    async def are_done() -> bool:
        return await place.count(playbook, "completed") >= before + count

    await place.until(are_done, seconds=300, every=0.05)
    return count / (now() - began)


# --- the yardstick


async def hand_one(place: Place, workflow: Any, arguments: list[Any]) -> float:
    began = now()
    handle = await place.temporal.start_workflow(
        workflow, args=arguments, id=f"hand/{uuid4()}", task_queue=yardstick.QUEUE
    )
    await handle.result()
    return now() - began


async def hand_many(place: Place, workflow: Any, arguments: list[Any], count: int) -> float:
    began = now()
    gate = asyncio.Semaphore(32)

    async def start() -> Any:
        async with gate:
            return await place.temporal.start_workflow(
                workflow, args=arguments, id=f"hand/{uuid4()}", task_queue=yardstick.QUEUE
            )

    handles = await asyncio.gather(*(start() for _ in range(count)))
    await asyncio.gather(*(handle.result() for handle in handles))
    return count / (now() - began)


# --- J1, J2, J4


async def one_long_run(place: Place, size: Size) -> list[Figure]:
    """J1: milliseconds a step of one run with steps in a row."""
    pure = await place.publish(playbooks.steps_in_a_row(playbooks.PURE, size.row))
    effect = await place.publish(playbooks.steps_in_a_row(playbooks.EFFECT, size.row))

    def each(measured: Measured) -> Measured:
        async def milliseconds() -> float:
            return await measured() * 1000 / size.row

        return milliseconds

    sides = await in_turn(
        place,
        size.rounds,
        pure=each(lambda: run_one(place, pure)),
        local=each(lambda: hand_one(place, yardstick.HandLocal.run, [size.row])),
        effect=each(lambda: run_one(place, effect)),
        regular=each(lambda: hand_one(place, yardstick.HandRegular.run, [size.row])),
    )
    p99 = {name: percentile(await step_times(place, version), 99) for name, version in _named(pure, effect)}
    return [
        Figure(job="J1 pure", unit="ms a step", ours=sides["pure"], yard=sides["local"], at_most=1.3),
        Figure(job="J1 effect", unit="ms a step", ours=sides["effect"], yard=sides["regular"], at_most=1.3),
        Figure(job="J1 pure, p99 of a step", unit="ms", ours=side_of([p99["pure"]]), limit=100),
        Figure(job="J1 effect, p99 of a step", unit="ms", ours=side_of([p99["effect"]]), limit=100),
    ]


def _named(pure: str, effect: str) -> list[tuple[str, str]]:
    return [("pure", pure), ("effect", effect)]


async def step_times(place: Place, playbook: str) -> list[float]:
    """Milliseconds from one step's end to the next one's, by the rows."""
    query = """SELECT extract(epoch FROM (l.line_data->>'completed_at')::timestamptz) * 1000 AS at, l.transaction_id
        FROM universal_transaction_lines l JOIN universal_transactions t ON t.id = l.transaction_id
        WHERE t.target_entity_id = $1::uuid AND l.line_type = 'step_execution'
        ORDER BY l.transaction_id, l.line_number"""
    rows = await place.database.fetch(query, playbook)
    return [
        float(row["at"] - before["at"])
        for before, row in itertools.pairwise(rows)
        if before["transaction_id"] == row["transaction_id"]
    ]


async def burst(place: Place, size: Size) -> list[Figure]:
    """J2: runs of five steps, all offered at once, per second."""
    pure = await place.publish(playbooks.steps_in_a_row(playbooks.PURE, 5))
    effect = await place.publish(playbooks.steps_in_a_row(playbooks.EFFECT, 5))
    starts: list[float] = []
    sides = await in_turn(
        place,
        size.rounds,
        pure=lambda: run_many(place, pure, size.burst, starts),
        regular=lambda: hand_many(place, yardstick.HandRegular.run, [5], size.burst),
        effect=lambda: run_many(place, effect, size.burst, starts),
        local=lambda: hand_many(place, yardstick.HandLocal.run, [5], size.burst),
    )
    return [
        Figure(job="J2 pure", unit="runs/s", ours=sides["pure"], yard=sides["regular"], at_least=1.0),
        Figure(job="J2 effect", unit="runs/s", ours=sides["effect"], yard=sides["regular"], at_least=0.7),
        Figure(job="J2 pure against local", unit="runs/s", ours=sides["pure"], yard=sides["local"]),
        Figure(job="J2 answer to a start, p50", unit="ms", ours=side_of([percentile(starts, 50)])),
        Figure(job="J2 answer to a start, p99", unit="ms", ours=side_of([percentile(starts, 99)])),
    ]


async def one_wide_run(place: Place, size: Size) -> list[Figure]:
    """J4: one run whose steps all start together."""
    pure = await place.publish(playbooks.steps_at_once(playbooks.PURE, size.parallel))
    effect = await place.publish(playbooks.steps_at_once(playbooks.EFFECT, size.parallel))
    sides = await in_turn(
        place,
        size.rounds,
        pure=lambda: run_one(place, pure),
        local=lambda: hand_one(place, yardstick.HandParallel.run, [size.parallel, True]),
        effect=lambda: run_one(place, effect),
        regular=lambda: hand_one(place, yardstick.HandParallel.run, [size.parallel, False]),
    )
    return [
        Figure(job="J4 pure", unit="s", ours=sides["pure"], yard=sides["local"], at_most=1.5),
        Figure(job="J4 effect", unit="s", ours=sides["effect"], yard=sides["regular"]),
    ]

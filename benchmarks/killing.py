"""J5: kill -9 of the worker under many runs, and how soon all of them are complete."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import uuid4

from benchmarks import playbooks, yardstick
from benchmarks.jobs import Size
from benchmarks.place import Place, now
from benchmarks.report import Figure, side_of

_STEPS, _MILLISECONDS = 5, 200
_UNTIL_KILL = 1.5
"""Seconds from the first start until the kill: the runs are at their first steps."""


async def killed_worker(place: Place, size: Size) -> list[Figure]:
    """Seconds from the restart of a killed worker until every run is complete; nothing done twice."""
    ours = [await _ours(place, size)]
    hand = [await _by_hand(place, size)]
    for _ in range(size.pairs - 1):
        ours.append(await _ours(place, size))
        hand.append(await _by_hand(place, size))
    repeated, by_hand = side_of([took[1] for took in ours]), side_of([took[1] for took in hand])
    return [
        Figure(
            job="J5 from restart to all complete",
            unit="s",
            ours=side_of([took[0] for took in ours]),
            yard=side_of([took[0] for took in hand]),
            limit=10,
        ),
        Figure(job="J5 executions begun again after the kill", unit="steps", ours=repeated, yard=by_hand),
        Figure(job="J5 steps completed twice", unit="steps", ours=side_of([took[3] for took in ours]), limit=0),
        Figure(
            job="J5 effects done when the kill came, not recorded, and asked for again under their key",
            unit="effects",
            ours=side_of([took[2] for took in ours]),
        ),
    ]


def _lines(file: Path, what: str) -> Counter[str]:
    """How often each key stands in the file with this word."""
    text = file.read_text() if file.exists() else ""
    return Counter(line.split()[1] for line in text.splitlines() if line.startswith(what))


def _again(counted: Counter[str]) -> float:
    return float(sum(count - 1 for count in counted.values()))


# A receiver that honours the key does these once; a step that two successes are recorded of would be our mistake.
_COMPLETED_TWICE = """SELECT count(*) FROM (
    SELECT 1 FROM universal_transaction_lines l JOIN universal_transactions t ON t.id = l.transaction_id
    WHERE t.target_entity_id = $1::uuid AND l.line_type = 'run_event' AND l.description = 'step_completed'
    GROUP BY l.transaction_id, l.line_data->>'step' HAVING count(*) > 1) twice"""


async def _ours(place: Place, size: Size) -> tuple[float, float, float, float]:
    slow = await place.publish(playbooks.steps_in_a_row("bench_sleep", _STEPS, {"ms": _MILLISECONDS}))
    before = await place.count(slow, "completed")
    place.effects.write_text("")
    await asyncio.gather(*(place.execute(slow) for _ in range(size.killed)))
    await asyncio.sleep(_UNTIL_KILL)
    await asyncio.to_thread(place.stack.kill, place.stack.worker)
    await asyncio.to_thread(place.stack.start_worker)
    began = now()

    async def are_done() -> bool:
        return await place.count(slow, "completed") >= before + size.killed

    await place.until(are_done, seconds=180, every=0.05)
    taken = now() - began
    twice = float(await place.database.fetchval(_COMPLETED_TWICE, slow))
    return taken, _again(_lines(place.effects, "begin")), _again(_lines(place.effects, "done")), twice


async def _by_hand(place: Place, size: Size) -> tuple[float, float]:
    notes = place.effects.with_name("yardstick.txt")
    notes.write_text("")

    async def start() -> Any:
        return await place.temporal.start_workflow(
            yardstick.HandSlow.run, args=[_STEPS, _MILLISECONDS], id=f"hand/{uuid4()}", task_queue=yardstick.QUEUE
        )

    handles = await asyncio.gather(*(start() for _ in range(size.killed)))
    await asyncio.sleep(_UNTIL_KILL)
    place.yard.popen.kill()
    await asyncio.to_thread(place.yard.popen.wait)
    place.start_yardstick()
    began = now()
    await asyncio.gather(*(handle.result() for handle in handles))
    return now() - began, _again(_lines(notes, "begin"))

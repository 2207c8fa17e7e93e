"""Writes rows during an effect's activity, which saves a flush of its own.

Rows are written at most once per FLUSH_INTERVAL, or at once when many steps changed; a fast effect leaves them to the
next one. Best effort: rows that are not written here are written by a later flush, so an effect neither fails nor waits
long because the database is away.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

from activities import projection
from activities.dependencies import ActivityDependencies
from activities.write_throttle import WRITE_EVERY
from playbooks.common.errors import UnavailableError
from playbooks.common.values import FINISHED_RUN
from playbooks.engine.model.temporal_messages import FlushCall, StepOutcome

MANY_STEPS = 8
"""With so many changed steps the rows are written at once, which keeps the payloads of effects small."""

_WAIT_SECONDS = 0.5
"""Time that a finished effect waits for a write that has begun."""


async def write_rows_meanwhile(
    deps: ActivityDependencies, rows: FlushCall | None, work: Coroutine[Any, Any, StepOutcome]
) -> StepOutcome:
    """Await `work`, and write `rows` meanwhile where they are due; then the outcome has their `rows_seq`."""
    if rows is None:
        return await work
    has_begun = asyncio.Event()
    writer = asyncio.create_task(_write_when_due(deps, rows, has_begun))
    try:
        outcome = await work
        if has_begun.is_set():
            await asyncio.wait({writer}, timeout=_WAIT_SECONDS)
        is_written = writer.done() and writer.exception() is None and writer.result()
        return replace(outcome, rows_seq=rows.seq) if is_written else outcome
    finally:
        writer.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait({writer})


async def _write_when_due(deps: ActivityDependencies, rows: FlushCall, has_begun: asyncio.Event) -> bool:
    """Return false where the row says that the run is over: its workflow must see that in a flush of its own."""
    while True:
        if len(rows.steps) < MANY_STEPS:
            await asyncio.sleep(deps.throttle.seconds_until_due(rows.execution_id))
        has_begun.set()
        deps.throttle.note_write(rows.execution_id)
        try:
            result = await projection.flush(deps, rows)
        except UnavailableError:
            await asyncio.sleep(WRITE_EVERY)
            continue
        return result.applied or result.row_status not in FINISHED_RUN

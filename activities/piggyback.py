"""Rows that an effect's activity writes on its way, so that no activity of its own has to.

Owns when: a run's rows are written twice a second, or when much has come together; a fast effect leaves it to the next.
Must not decide what is written. Best effort: what is not written here is written by what comes after, so an effect
never fails, nor waits long, because the database is away.
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
"""Changed steps that are written at once, so that what effects carry stays small."""

_PATIENCE = 0.5
"""Seconds that an effect which is done waits for a write that has begun."""


async def carrying(
    deps: ActivityDependencies, rows: FlushCall | None, work: Coroutine[Any, Any, StepOutcome]
) -> StepOutcome:
    """Await `work`, and write `rows` meanwhile where it is due; the outcome's `rows_seq` says that they are written."""
    if rows is None:
        return await work
    has_begun = asyncio.Event()
    writer = asyncio.create_task(_write_when_due(deps, rows, has_begun))
    try:
        outcome = await work
        if has_begun.is_set():
            await asyncio.wait({writer}, timeout=_PATIENCE)
        is_written = writer.done() and writer.exception() is None and writer.result()
        return replace(outcome, rows_seq=rows.seq) if is_written else outcome
    finally:
        writer.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait({writer})


async def _write_when_due(deps: ActivityDependencies, rows: FlushCall, has_begun: asyncio.Event) -> bool:
    """False where the run is over by its row: its workflow learns that from a flush of its own."""
    while True:
        if len(rows.steps) < MANY_STEPS:
            await asyncio.sleep(deps.pace.wait(rows.execution_id))
        has_begun.set()
        deps.pace.wrote(rows.execution_id)
        try:
            result = await projection.flush(deps, rows)
        except UnavailableError:
            await asyncio.sleep(WRITE_EVERY)
            continue
        return result.applied or result.row_status not in FINISHED_RUN

"""The start sweeper: no accepted run is lost, whatever died between its commit and the start of its workflow.

Changes no rows: the run's first flush does that. Invariant: a run is started only while its row is locked and after
the row was read again, so a run that was cancelled meanwhile is never started here.
"""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import structlog

from playbooks.common.errors import UnavailableError
from recovery.context import RecoveryContext
from runtime.background import Cooldown, isolate_failure, run_every
from runtime.start_run import has_workflow, start_run
from storage.runs import run_rows, unfinished_runs

EVERY_SECONDS = 1.0
OLDER_THAN = timedelta(seconds=2)
BATCH = 100
STARTED_SECONDS = 30.0
"""A run that was started looks queued until its first flush; asking Temporal again each second would be wasted."""

RETRY_SECONDS = 5.0
# One run that Temporal refuses must not stop the others, but an outage must not cost a hundred attempts.
_MAX_FAILURES = 3
_MAX_FOUND = 2_000

_log = structlog.get_logger("recovery.sweeper")


async def run_sweeper(context: RecoveryContext) -> None:
    """Sweep once a second until cancelled."""
    cooldown = Cooldown[UUID]()
    await run_every(EVERY_SECONDS, lambda: sweep_once(context, cooldown), "sweeper")


async def sweep_once(context: RecoveryContext, cooldown: Cooldown[UUID], *, older_than: timedelta = OLDER_THAN) -> int:
    """Start runs that stayed queued, except those in `cooldown`. Return the number of runs started.

    Raises UnavailableError when the database or Temporal is away. Safe to repeat and to run in many processes.
    """
    limit = min(BATCH + cooldown.forget_expired(), _MAX_FOUND)
    async with context.database.recovering() as session:
        found = await unfinished_runs.find_queued(session, older_than, limit)
    started = failures = 0
    for organization_id, execution_id in found:
        if execution_id in cooldown:
            continue
        cooldown.start(execution_id, RETRY_SECONDS)
        try:
            is_started = await isolate_failure(
                _start(context, organization_id, execution_id),
                None,
                "queued_run_cannot_start",
                execution_id=str(execution_id),
            )
        except UnavailableError:
            failures += 1
            if failures == _MAX_FAILURES:
                raise
            continue
        if is_started is not None:
            started += is_started
            cooldown.start(execution_id, STARTED_SECONDS)
    return started


async def _start(context: RecoveryContext, organization_id: UUID, execution_id: UUID) -> bool | None:
    """Start the run. False where it needs no start."""
    # In a burst many rows wait for their first flush: asking costs a fraction of starting again.
    if await has_workflow(context.client, organization_id, execution_id):
        return False
    async with context.database.writing(organization_id) as session:
        if not await unfinished_runs.lock_queued(session, execution_id):
            return False
        # The lock is held during the start: a request that cancels the row meanwhile waits for it or skips it.
        run_input = await run_rows.get_run_input(session, execution_id, context.sealer)
        await start_run(context.client, context.settings, run_input)
    _log.info("queued_run_started", execution_id=str(execution_id))
    return True

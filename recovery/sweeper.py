"""The start sweeper: no accepted run is lost, whatever died between its commit and the start of its workflow.

Owns the search for rows that stayed `queued`. Must not change rows: the run's first flush does that. Invariant: a row
is only started under its lock and after another look, so a run that was cancelled meanwhile is never started by us.
"""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from uuid import UUID

import structlog
from temporalio.client import Client

from playbooks.common.errors import UnavailableError
from runtime.settings import Settings
from runtime.start_run import has_workflow, start_run
from storage.database.sealing import Sealer
from storage.database.sessions import Database
from storage.runs import admission

EVERY_SECONDS = 1.0
OLDER_THAN = timedelta(seconds=2)
BATCH = 100
# A run that was started but has not flushed yet still looks queued; asking Temporal again each second helps nobody.
REST_SECONDS = 30.0
RETRY_SECONDS = 5.0
# One run that Temporal refuses must not stop the others, but an outage must not be asked about a hundred times.
_MAX_FAILURES = 3
_MAX_FOUND = 2_000

_log = structlog.get_logger("recovery.sweeper")


async def run_sweeper(database: Database, client: Client, settings: Settings) -> None:
    """Sweep once a second until cancelled. Outages of the database or of Temporal are waited out."""
    resting: dict[UUID, float] = {}
    sealer = Sealer(settings.key_ring)
    is_away = False
    while True:
        try:
            await sweep_once(database, client, settings, sealer, resting)
            if is_away:
                _log.info("sweeper_goes_on")
            is_away = False
        except UnavailableError as error:
            if not is_away:
                _log.warning("sweeper_waits", reason=error.detail)
            is_away = True
        except Exception:
            # A sweeper that dies loses runs silently; whatever this is, the next round may be spared.
            _log.exception("sweep_failed")
        await asyncio.sleep(EVERY_SECONDS)


async def sweep_once(
    database: Database,
    client: Client,
    settings: Settings,
    sealer: Sealer,
    resting: dict[UUID, float],
    *,
    older_than: timedelta = OLDER_THAN,
) -> int:
    """Start what stayed queued; the number of runs started. `resting` holds runs that are left alone until then.

    Raises UnavailableError when the database or Temporal is away. Safe to repeat and to run in many processes.
    """
    now = time.monotonic()
    for execution_id in [key for key, until in resting.items() if until < now]:
        del resting[execution_id]
    async with database.recovering() as session:
        found = await admission.find_queued(session, older_than, min(BATCH + len(resting), _MAX_FOUND))
    started = failures = 0
    for organization_id, execution_id in found:
        if execution_id in resting:
            continue
        resting[execution_id] = time.monotonic() + RETRY_SECONDS
        try:
            # In a burst a row stays queued until its run's first flush: asking costs a fraction of starting again.
            if await has_workflow(client, organization_id, execution_id):
                resting[execution_id] = time.monotonic() + REST_SECONDS
                continue
            started += await _start_if_still_queued(
                database=database,
                client=client,
                settings=settings,
                sealer=sealer,
                organization_id=organization_id,
                execution_id=execution_id,
            )
            resting[execution_id] = time.monotonic() + REST_SECONDS
        except UnavailableError:
            failures += 1
            if failures == _MAX_FAILURES:
                raise
        except Exception:
            # One row that cannot be read must not keep the others waiting.
            _log.exception("queued_run_cannot_start", execution_id=str(execution_id))
    return started


async def _start_if_still_queued(
    *,
    database: Database,
    client: Client,
    settings: Settings,
    sealer: Sealer,
    organization_id: UUID,
    execution_id: UUID,
) -> bool:
    async with database.writing(organization_id) as session:
        if not await admission.lock_queued(session, execution_id):
            return False
        # The lock is held over the start: whoever wants to cancel the row meanwhile waits for, or skips, it.
        await start_run(client, settings, await admission.get_run_input(session, execution_id, sealer))
    _log.info("queued_run_started", execution_id=str(execution_id))
    return True

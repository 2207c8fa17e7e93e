"""The scheduler: performs transitions when they are due, and goes on cancelling runs until none is left.

Invariant: what is scheduled stands in the rows alone, so any process may perform it, and only one does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

import structlog

from publication.run_cancellation import CancelContext, cancel_runs
from publication.transitions import Handlers, perform_due
from runtime.background import Cooldown, isolate_failure, run_every
from storage.playbooks.transitions import UnfinishedTransition, find_unfinished_transitions

EVERY_SECONDS = 1.0
OLDER_THAN = timedelta(seconds=2)
"""Time that the request which archived a version gets to cancel its runs itself."""

BATCH = 100
REST_SECONDS = 30.0
_MAX_FOUND = 2_000

_log = structlog.get_logger("publication.scheduler")


@dataclass(slots=True, kw_only=True)
class Scheduler:
    """State of one process between rounds: transitions that failed unexpectedly rest for a while."""

    context: CancelContext
    handlers: Handlers
    older_than: timedelta = OLDER_THAN
    cooldown: Cooldown[UUID] = field(default_factory=Cooldown[UUID])


async def run_scheduler(scheduler: Scheduler) -> None:
    """Perform what is due once a second until cancelled."""
    await run_every(EVERY_SECONDS, lambda: schedule_once(scheduler), "scheduler")


async def schedule_once(scheduler: Scheduler) -> int:
    """Do one round, and return the number of transitions that took place.

    Raises UnavailableError when the database is away. Safe to repeat and to run in many processes.
    """
    limit = min(BATCH + scheduler.cooldown.forget_expired(), _MAX_FOUND)
    async with scheduler.context.database.recovering() as session:
        found = await find_unfinished_transitions(session, older_than=scheduler.older_than, limit=limit)
    performed = 0
    for each in found:
        if each.id in scheduler.cooldown:
            continue
        identity = str(each.id)
        is_done = await isolate_failure(
            _perform(scheduler, each), None, "transition_not_performed", transition_id=identity
        )
        if is_done is None:
            scheduler.cooldown.start(each.id, REST_SECONDS)
        performed += is_done or False
    return performed


async def _perform(scheduler: Scheduler, found: UnfinishedTransition) -> bool | None:
    """Perform the transition, or cancel runs of one that is in progress. True where the transition took place."""
    context = scheduler.context
    if not found.is_due:
        await cancel_runs(context, found.organization_id, found.id)
        return False
    if not await perform_due(context.database, scheduler.handlers, found.organization_id, found.id):
        return False
    _log.info("scheduled_transition_performed", transition_id=str(found.id))
    await cancel_runs(context, found.organization_id, found.id)
    return True

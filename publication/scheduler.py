"""The scheduler: transitions that are due take place, and runs that a transition cancels are seen to their end.

Owns the search for both. Must not know their conditions (`transitions.py`) nor how a run is told (`run_cancels.py`).
Invariant: what is scheduled stands in the rows alone, so whoever is alive when it is due does it, and only one does.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

import structlog

from playbooks.common.errors import UnavailableError
from publication.run_cancellation import CancelTools, cancel_runs
from publication.transitions import Handlers, perform_due
from storage.playbooks.transitions import UnfinishedTransition, find_unfinished_transitions

EVERY_SECONDS = 1.0
OLDER_THAN = timedelta(seconds=2)
"""So long the request that archived a version cancels its runs itself."""

BATCH = 100
REST_SECONDS = 30.0
_MAX_FOUND = 2_000

_log = structlog.get_logger("publication.scheduler")


@dataclass(slots=True, kw_only=True)
class Scheduler:
    """What one process remembers between rounds: transitions that failed in an unforeseen way rest for a while."""

    tools: CancelTools
    handlers: Handlers
    older_than: timedelta = OLDER_THAN
    resting: dict[UUID, float] = field(default_factory=dict[UUID, float])


async def run_scheduler(scheduler: Scheduler) -> None:
    """Look once a second until cancelled. Outages are waited out."""
    is_away = False
    while True:
        try:
            await schedule_once(scheduler)
            if is_away:
                _log.info("scheduler_goes_on")
            is_away = False
        except UnavailableError as error:
            if not is_away:
                _log.warning("scheduler_waits", reason=error.detail)
            is_away = True
        except Exception:
            # One that dies misses what was promised, silently; whatever this is, the next round may be spared.
            _log.exception("schedule_failed")
        await asyncio.sleep(EVERY_SECONDS)


async def schedule_once(scheduler: Scheduler) -> int:
    """One round; the number of transitions that took place.

    Raises UnavailableError when the database is away. Safe to repeat and to run in many processes.
    """
    now, resting = time.monotonic(), scheduler.resting
    for identity in [key for key, until in resting.items() if until < now]:
        del resting[identity]
    async with scheduler.tools.database.recovering() as session:
        limit = min(BATCH + len(resting), _MAX_FOUND)
        found = await find_unfinished_transitions(session, older_than=scheduler.older_than, limit=limit)
    performed = 0
    for each in found:
        if each.id not in resting:
            performed += await _spared(scheduler, each)
    return performed


async def _spared(scheduler: Scheduler, found: UnfinishedTransition) -> bool:
    try:
        if not found.is_due:
            await cancel_runs(scheduler.tools, found.organization_id, found.id)
            return False
        tools = scheduler.tools
        is_done = await perform_due(tools.database, scheduler.handlers, found.organization_id, found.id)
        if is_done:
            _log.info("scheduled_transition_performed", transition_id=str(found.id))
            await cancel_runs(tools, found.organization_id, found.id)
        return is_done
    except UnavailableError:
        raise
    except Exception:
        # One that cannot be read must not keep the others waiting.
        _log.exception("transition_cannot_be_performed", transition_id=str(found.id))
        scheduler.resting[found.id] = time.monotonic() + REST_SECONDS
        return False

"""Sends signals again that runs have missed: one was lost, or its sender died before it could send it.

A signal only asks a run to read rows. Invariants, whatever died in between: a run whose child has ended is notified; a
run that may now start under its concurrency limit is notified; a child that outlived its parent is cancelled.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby
from typing import TypeAlias
from uuid import UUID

import structlog

from playbooks.engine.model.control_messages import CancelRun, ChildEnded, ConcurrencyFree
from recovery.context import RecoveryContext
from runtime.background import Cooldown, isolate_failure
from runtime.run_signals import signal_run
from storage.runs.children import EndedChild, ended_children, orphaned_children
from storage.runs.concurrency import waiting_within_limit
from storage.runs.unfinished_runs import UnfinishedRun

GRACE = timedelta(seconds=3)
"""Time that a run which has ended gets to send the signal itself."""

REST_SECONDS = 60.0

ResentAction: TypeAlias = CancelRun | ChildEnded | ConcurrencyFree
SignalCooldown: TypeAlias = Cooldown[tuple[UUID, ResentAction]]
"""Signals that were sent lately, by receiver."""

_log = structlog.get_logger("recovery.missed_signals")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Signal:
    """A signal for one run."""

    to: UUID
    action: ResentAction

    @property
    def key(self) -> tuple[UUID, ResentAction]:
        return self.to, self.action


async def resend_missed_signals(
    context: RecoveryContext, found: Sequence[UnfinishedRun], cooldown: SignalCooldown, grace: timedelta = GRACE
) -> int:
    """Send these runs the signals that they seem to have missed, and return the number of signals.

    Raises UnavailableError or RPCError when the database or Temporal is away.
    """
    cooldown.forget_expired()
    sent = 0
    for organization_id, runs in groupby(sorted(found, key=_organization), key=_organization):
        work = _resend(context, organization_id, [run.execution_id for run in runs], cooldown, grace)
        sent += await isolate_failure(work, 0, "signals_not_sent", organization_id=str(organization_id))
    return sent


async def _resend(
    context: RecoveryContext, organization_id: UUID, runs: Sequence[UUID], cooldown: SignalCooldown, grace: timedelta
) -> int:
    sent = 0
    for signal in await _missed(context, organization_id, runs, grace):
        if signal.key in cooldown:
            continue
        if await signal_run(
            context.client,
            context.settings.signing_key,
            organization_id=organization_id,
            execution_id=signal.to,
            action=signal.action,
        ):
            _log.warning("missed_signal_sent", execution_id=str(signal.to), verb=signal.action.verb)
            cooldown.start(signal.key, REST_SECONDS)
            sent += 1
    return sent


async def _missed(
    context: RecoveryContext, organization_id: UUID, runs: Sequence[UUID], grace: timedelta
) -> list[_Signal]:
    async with context.database.reading(organization_id) as session:
        ended = await ended_children(session, runs, grace)
        left = await orphaned_children(session, runs, grace)
        free = await waiting_within_limit(session, runs)
    reason = "the run that started it and waited for it is over"
    return [
        *_of_children(ended),
        *(_Signal(to=run, action=CancelRun(reason=reason)) for run in left),
        *(_Signal(to=run, action=ConcurrencyFree()) for run in free),
    ]


def _of_children(ended: Sequence[EndedChild]) -> Iterator[_Signal]:
    for child in ended:
        parent = child.parent
        action = ChildEnded(step=parent.step, visit=parent.visit, execution_id=child.execution_id)
        yield _Signal(to=parent.execution_id, action=action)


def _organization(run: UnfinishedRun) -> UUID:
    return run.organization_id

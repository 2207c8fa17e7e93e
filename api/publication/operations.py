"""Transitions of a version: publish, deprecate, reactivate, archive, delete; now, or scheduled.

Permissions are checked here. The conditions of a transition are in `publication.transitions`,
because the scheduler checks the same when a transition is due.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import cast
from uuid import UUID, uuid4

from api.context import RequestContext
from api.http.etags import check_if_match, etag_of
from api.playbooks.operations import compile_version
from api.services import Services
from playbooks.common.errors import (
    AlreadyCancelledError,
    InvalidTransitionError,
    LimitExceededError,
    Problem,
    UnavailableError,
)
from playbooks.compiler.compile import CompiledPlaybook
from playbooks.lifecycle.schedule import Planned, refuse_contradiction, refuse_gap, refuse_overtaking, status_at
from playbooks.lifecycle.side_effects import SideEffect
from playbooks.lifecycle.transitions import PERMISSIONS, next_status
from publication.run_cancellation import CancelContext, CancelCounts, cancel_runs
from publication.transitions import PerformedTransition, check_publication, is_strict, perform, planned, withdraw
from storage.database.sessions import WriteSession
from storage.playbooks import transitions
from storage.playbooks import version_rows as rows
from storage.playbooks.transitions import TransitionRequest, TransitionRow
from storage.playbooks.version_rows import PlaybookRow
from storage.runs.unfinished_runs import count_live_runs

MAX_SCHEDULED = 20
_MAX_CANCELS_PER_REQUEST = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """The status of a version, and what publishing it would report."""

    row: PlaybookRow
    compiled: CompiledPlaybook
    history: Sequence[TransitionRow]
    scheduled: Sequence[TransitionRow]
    is_strict: bool
    live_runs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedVersion:
    """A version after a transition, or with a scheduled one. `cancels` is set where live runs are cancelled."""

    row: PlaybookRow
    transition: TransitionRow
    warnings: tuple[Problem, ...] = ()
    effects: tuple[SideEffect, ...] = ()
    live_runs: int = 0
    cancels: CancelCounts | None = None


async def read_publication(context: RequestContext, playbook_id: UUID) -> Publication:
    """Return the status of a version. Raises NotFoundError."""
    async with context.reading() as session:
        row = await rows.get_version(session, playbook_id)
        history = await transitions.list_transitions(session, playbook_id)
        scheduled = await transitions.list_scheduled(session, playbook_id)
        strict = await is_strict(session)
        live = await count_live_runs(session, playbook_id)
    compiled = await compile_version(context, row)
    return Publication(
        row=row, compiled=compiled, history=history, scheduled=scheduled, is_strict=strict, live_runs=live
    )


async def change_status(
    context: RequestContext, playbook_id: UUID, request: TransitionRequest, if_match: str | None
) -> ChangedVersion:
    """Make the transition now, or schedule it.

    Raises NotFoundError, ForbiddenError, InvalidTransitionError, PublicationError, ValidationError,
    PreconditionFailedError, LimitExceededError.
    """
    is_future = request.effective_date is not None and request.effective_date > datetime.now(UTC)
    async with context.writing() as session:
        row = await rows.hold_version(session, playbook_id)
        context.principal.needs(PERMISSIONS[request.action])
        if if_match is not None:
            check_if_match(if_match, etag_of(row.revision))
        waiting = planned(await transitions.list_scheduled(session, playbook_id))
        if is_future:
            return await _schedule(context.services, session, row, request, waiting)
        refuse_overtaking(next_status(row.status, request.action), waiting)
        done = await perform(session, context.services.handlers, row, request)
    cancels = None
    if done.transition.status == "in_progress":
        cancels = await _cancel_runs(context, done)
    return ChangedVersion(
        row=done.row,
        transition=done.transition,
        warnings=done.warnings,
        effects=done.effects,
        live_runs=done.live_runs,
        cancels=cancels,
    )


async def cancel_scheduled(
    context: RequestContext, playbook_id: UUID, transition_id: UUID, reason: str | None
) -> ChangedVersion:
    """Cancel a scheduled transition; needs the permission of its action.

    Raises NotFoundError, ForbiddenError, AlreadyCancelledError, InvalidTransitionError where it took place already or
    another scheduled one depends on it, ValidationError for a reason that cannot be stored.
    """
    async with context.writing() as session:
        row = await rows.hold_version(session, playbook_id)
        found = await transitions.get_transition(session, playbook_id, transition_id)
        context.principal.needs(PERMISSIONS[found.action])
        if found.status == "cancelled":
            raise AlreadyCancelledError("the transition is cancelled already")
        if found.status != "scheduled":
            raise InvalidTransitionError(f"the transition is {found.status}, and only a scheduled one can be cancelled")
        refuse_gap(row.status, planned(await transitions.list_scheduled(session, playbook_id)), transition_id)
        await withdraw(session, found, context.principal.actor, reason)
        cancelled = await transitions.get_transition(session, playbook_id, transition_id)
    return ChangedVersion(row=row, transition=cancelled)


async def _cancel_runs(context: RequestContext, done: PerformedTransition) -> CancelCounts:
    """Cancel the version's runs now. The transition is committed, so the scheduler cancels the runs that are left."""
    services = context.services
    cancels = CancelContext(database=services.database, client=services.workflows.client, settings=services.settings)
    organization_id = context.principal.organization_id
    try:
        return await cancel_runs(cancels, organization_id, done.transition.id, limit=_MAX_CANCELS_PER_REQUEST)
    except UnavailableError:
        return CancelCounts(pending=done.live_runs)


async def _schedule(
    services: Services,
    session: WriteSession,
    row: PlaybookRow,
    request: TransitionRequest,
    waiting: tuple[Planned, ...],
) -> ChangedVersion:
    """Schedule a transition. Errors of today are refused today; all conditions are checked again when it is due."""
    at = cast("datetime", request.effective_date)
    if len(waiting) >= MAX_SCHEDULED:
        raise LimitExceededError(f"a version has at most {MAX_SCHEDULED} scheduled transitions")
    refuse_contradiction(row.status, waiting, Planned(id=uuid4(), action=request.action, at=at))
    from_status = status_at(row.status, waiting, at)
    warnings: tuple[Problem, ...] = ()
    if request.action == "publish":
        warnings = (await check_publication(session, services.handlers, row, request.overrides)).warnings
    stored = await transitions.schedule(session, row, request, from_status=from_status)
    return ChangedVersion(row=row, transition=stored, warnings=warnings)

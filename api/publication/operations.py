"""The life cycle of a version: publish, deprecate, reactivate, archive; now, or scheduled.

Owns permissions, and what a request may say for which action. The conditions of a transition are
`publication.transitions`, because the scheduler checks the same when one is due. Invariant: what is answered is
committed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import cast
from uuid import UUID, uuid4

from api.http.etags import check_if_match, etag_of
from api.http.security import Permission, Principal
from api.publication.schemas import TransitionRequest
from api.services import Services
from playbooks.common.errors import (
    AlreadyCancelledError,
    InvalidTransitionError,
    LimitExceededError,
    Problem,
    UnavailableError,
    ValidationError,
)
from playbooks.lifecycle.overrides import Override
from playbooks.lifecycle.schedule import Planned, refuse_contradiction, refuse_gap, refuse_overtaking, status_at
from playbooks.lifecycle.side_effects import SideEffect
from playbooks.lifecycle.transitions import PERMISSIONS, Action, next_status
from publication.run_cancellation import CancelContext, CancelCounts, cancel_runs
from publication.transitions import Performed, check_publication, perform, planned, withdraw
from storage.database.sessions import WriteSession
from storage.playbooks import transitions
from storage.playbooks import version_rows as rows
from storage.playbooks.transitions import TransitionRow
from storage.playbooks.version_rows import PlaybookRow

MAX_SCHEDULED = 20
_CANCELS_A_REQUEST = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """A version after a transition, or with one that waits. `cancels` where live runs are cancelled."""

    row: PlaybookRow
    transition: TransitionRow
    warnings: tuple[Problem, ...] = ()
    effects: tuple[SideEffect, ...] = ()
    live_runs: int = 0
    cancels: CancelCounts | None = None


async def move(
    services: Services, principal: Principal, playbook_id: UUID, request: TransitionRequest, if_match: str | None
) -> Moved:
    """Do what is asked now, or schedule it.

    Raises NotFoundError, ForbiddenError, InvalidActionError, InvalidTransitionError, PublicationError, ValidationError,
    PreconditionFailedError, LimitExceededError.
    """
    is_future = request.effective_date is not None and request.effective_date > datetime.now(UTC)
    async with services.writing(principal) as session:
        row = await rows.hold_version(session, playbook_id)
        order = _order(principal, row, request)
        if if_match is not None:
            check_if_match(if_match, etag_of(row.revision))
        waiting = planned(await transitions.list_scheduled(session, playbook_id))
        if is_future:
            return await _schedule(services, session, row, order, waiting)
        refuse_overtaking(next_status(row.status, order.action), waiting)
        done = await perform(session, services.handlers, row, order)
    cancels = None
    if done.transition.status == "in_progress":
        cancels = await _cancel_runs(services, principal, done)
    return Moved(
        row=done.row,
        transition=done.transition,
        warnings=done.warnings,
        effects=done.effects,
        live_runs=done.live_runs,
        cancels=cancels,
    )


async def cancel_scheduled(
    services: Services, principal: Principal, playbook_id: UUID, transition_id: UUID, reason: str | None
) -> Moved:
    """Withdraw what is scheduled; needs the permission of the action.

    Raises NotFoundError, ForbiddenError, AlreadyCancelledError, InvalidTransitionError where it took place already or
    another one that is scheduled relies on it, ValidationError for a reason that cannot be stored.
    """
    async with services.writing(principal) as session:
        row = await rows.hold_version(session, playbook_id)
        found = await transitions.get_transition(session, playbook_id, transition_id)
        principal.needs(cast("Permission", PERMISSIONS[found.action]))
        if found.status == "cancelled":
            raise AlreadyCancelledError("the transition is cancelled already")
        if found.status != "scheduled":
            raise InvalidTransitionError(f"the transition is {found.status}, and only a scheduled one can be cancelled")
        refuse_gap(row.status, planned(await transitions.list_scheduled(session, playbook_id)), transition_id)
        await withdraw(session, found, principal.actor, reason)
        cancelled = await transitions.get_transition(session, playbook_id, transition_id)
    return Moved(row=row, transition=cancelled)


async def _cancel_runs(services: Services, principal: Principal, done: Performed) -> CancelCounts:
    """Cancel runs now. The transition is committed, so the scheduler goes on with those that were not reached."""
    context = CancelContext(database=services.database, client=services.runs.client, settings=services.settings)
    try:
        return await cancel_runs(context, principal.organization_id, done.transition.id, limit=_CANCELS_A_REQUEST)
    except UnavailableError:
        return CancelCounts(pending=done.live_runs)


async def _schedule(
    services: Services,
    session: WriteSession,
    row: PlaybookRow,
    order: transitions.TransitionRequest,
    waiting: tuple[Planned, ...],
) -> Moved:
    """What is wrong today is refused today; the rest is checked when it is due."""
    at = cast("datetime", order.effective_date)
    if len(waiting) >= MAX_SCHEDULED:
        raise LimitExceededError(f"a version has at most {MAX_SCHEDULED} scheduled transitions")
    refuse_contradiction(row.status, waiting, Planned(id=uuid4(), action=order.action, at=at))
    from_status = status_at(row.status, waiting, at)
    warnings: tuple[Problem, ...] = ()
    if order.action == "publish":
        warnings = (await check_publication(session, services.handlers, row, order.overrides)).warnings
    stored = await transitions.schedule(session, row, order, from_status=from_status)
    return Moved(row=row, transition=stored, warnings=warnings)


def _order(principal: Principal, row: PlaybookRow, request: TransitionRequest) -> transitions.TransitionRequest:
    """The request as an order that this person may give. Raises InvalidActionError, ForbiddenError, ValidationError."""
    if request.action not in PERMISSIONS:
        next_status(row.status, request.action)  # says which actions there are
    action = cast("Action", request.action)
    principal.needs(cast("Permission", PERMISSIONS[action]))
    _refuse_misplaced(request)
    settings = request.notification_settings
    overrides = request.validation_overrides or []
    return transitions.TransitionRequest(
        action=action,
        actor=principal.actor,
        reason=request.reason,
        effective_date=request.effective_date,
        overrides=tuple(Override(code=each.code, pointer=each.pointer, reason=each.reason) for each in overrides),
        cancels_runs=request.on_live_runs == "cancel",
        notification=None if settings is None else settings.model_dump(mode="json", exclude_none=True),
    )


def _refuse_misplaced(request: TransitionRequest) -> None:
    problems: list[Problem] = []
    if request.on_live_runs is not None and request.action != "archive":
        problems.append(_misplaced("/on_live_runs", "only 'archive' asks what becomes of live runs"))
    if request.validation_overrides and request.action != "publish":
        problems.append(_misplaced("/validation_overrides", "only 'publish' has warnings to override"))
    if problems:
        raise ValidationError(problems[0].message, problems)


def _misplaced(pointer: str, message: str) -> Problem:
    return Problem(pointer=pointer, code="NOT_ALLOWED", message=message)

"""Performs a transition of a version, from checks to record: for a request, or for the scheduler when due.

Invariants: an active version was compiled, and its plan is stored in the transaction of its transition; a scheduled
transition is checked again when it is due, and either takes place or has its refusal recorded, once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import cast
from uuid import UUID

from playbooks.common.errors import InvalidTransitionError, PlaybooksError, Problem, PublicationError, UnavailableError
from playbooks.common.errors import error as problem
from playbooks.common.values import Actor, Json, JsonObject
from playbooks.compiler.compile import compile_playbook
from playbooks.document.handler_catalog import HandlerDescription
from playbooks.engine.model.plan import Plan
from playbooks.lifecycle.overrides import Override, overridden, refuse_unfit, uncovered
from playbooks.lifecycle.schedule import Planned
from playbooks.lifecycle.side_effects import SideEffect, TransitionFacts, side_effects
from playbooks.lifecycle.transitions import Action, next_status
from storage.database.sessions import Database, ReadSession, WriteSession
from storage.identity.organizations import own_organization
from storage.playbooks import plans, transitions, version_rows
from storage.playbooks.transitions import TransitionRequest, TransitionRow, request_of
from storage.playbooks.version_rows import PlaybookFilter, PlaybookRow
from storage.runs.unfinished_runs import count_live_runs

Handlers = Mapping[str, HandlerDescription]
_MAX_OTHERS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicationCheck:
    """Result of the checks before publishing: a plan, the warnings, and the overrides of warnings."""

    plan: Plan
    warnings: tuple[Problem, ...]
    overridden: tuple[tuple[Problem, Override], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PerformedTransition:
    """A transition that took place. `live_runs` are yet to be cancelled where the transition is `in_progress`."""

    row: PlaybookRow
    transition: TransitionRow
    warnings: tuple[Problem, ...] = ()
    effects: tuple[SideEffect, ...] = ()
    live_runs: int = 0


async def check_publication(
    session: WriteSession, handlers: Handlers, row: PlaybookRow, overrides: Sequence[Override], *, is_due: bool = False
) -> PublicationCheck:
    """Compile the version as it is now, under the organization's settings.

    Raises PublicationError for errors and, under `strict_publication`, for warnings that no override names;
    ValidationError for an override that names an error or nothing (not when it `is_due`: its finding may be gone).
    """
    document = await version_rows.get_document(session, row.id)
    # In a thread, so that other requests do not wait for it.
    result = await asyncio.to_thread(
        compile_playbook, document, playbook_id=row.id, version=row.version, handlers=handlers
    )
    if not is_due:
        refuse_unfit(overrides, result.problems)
    if result.plan is None:
        detail = f"the playbook has {len(result.errors)} problems and cannot be published"
        raise PublicationError(detail, result.problems)
    warnings = tuple(result.problems)
    left = uncovered(overrides, warnings)
    if left and await is_strict(session):
        detail = f"strict publication is on, and the playbook has {len(left)} warnings that nobody has overridden"
        raise PublicationError(detail, left)
    return PublicationCheck(plan=result.plan, warnings=warnings, overridden=overridden(overrides, warnings))


async def is_strict(session: ReadSession) -> bool:
    """Return whether warnings refuse a publication in this organization."""
    organization = await own_organization(session)
    return organization is not None and organization.settings.get("strict_publication") is True


async def perform(
    session: WriteSession,
    handlers: Handlers,
    row: PlaybookRow,
    request: TransitionRequest,
    scheduled: TransitionRow | None = None,
) -> PerformedTransition:
    """Perform a transition now. The caller holds the version (`hold_version`); `scheduled` is the row that was due.

    Raises InvalidTransitionError, PublicationError, ValidationError; then nothing may be committed.
    """
    to_status = next_status(row.status, request.action)
    checked = await _published(session, handlers, row, request, scheduled) if request.action == "publish" else None
    taken_on = () if checked is None else checked.overridden
    live = await count_live_runs(session, row.id)
    if to_status == "deleted" and live and not request.cancels_runs:
        text = f"the version has {live} runs that have not ended"
        help_text = "wait for them, or send on_live_runs: cancel"
        raise InvalidTransitionError(text, (problem("/on_live_runs", "LIVE_RUNS", text, help_text),))
    withdrawn = await _withdraw(session, row, request, scheduled) if to_status == "deleted" else ()
    facts = TransitionFacts(
        action=request.action,
        version=row.version,
        others=await _other_active(session, row),
        live_runs=live,
        withdrawn=withdrawn,
        overridden=len(taken_on),
        notifies=request.notification is not None,
    )
    effects = side_effects(facts)
    changed, record = await transitions.transition(
        session,
        row,
        request,
        status="in_progress" if to_status == "deleted" and live else "completed",
        details={
            "overridden": [_overridden_to_json(*pair) for pair in taken_on],
            "live_runs": live,
            "side_effects": [_effect_to_json(effect) for effect in effects],
        },
        scheduled=scheduled,
    )
    return PerformedTransition(
        row=changed,
        transition=record,
        warnings=() if checked is None else checked.warnings,
        effects=effects,
        live_runs=live,
    )


async def perform_due(database: Database, handlers: Handlers, organization_id: UUID, identity: UUID) -> bool:
    """Perform a scheduled transition, if it is still scheduled and the version's next one.

    True where it took place, false also where it was refused, which is recorded. Safe to repeat and to run in many
    processes: they take turns at the version, and the second finds nothing to do. Raises UnavailableError.
    """
    async with database.writing(organization_id) as session:
        found = await transitions.find_transition(session, identity)
        if found is None or found.status != "scheduled":
            return False
        row = await version_rows.hold_version(session, found.playbook_id)
        waiting = await transitions.list_scheduled(session, row.id)
        if not waiting or waiting[0].id != identity:
            return False
        try:
            async with session.connection.begin_nested():
                await perform(session, handlers, row, request_of(waiting[0]), waiting[0])
        except UnavailableError:
            raise
        except PlaybooksError as error:
            await _record_refusal(session, row, waiting[0], error)
            return False
    return True


def planned(waiting: Sequence[TransitionRow]) -> tuple[Planned, ...]:
    """Return the same as the pure schedule takes it."""
    return tuple(Planned(id=each.id, action=each.action, at=each.at) for each in waiting)


async def _published(
    session: WriteSession,
    handlers: Handlers,
    row: PlaybookRow,
    request: TransitionRequest,
    scheduled: TransitionRow | None,
) -> PublicationCheck:
    changed = _changed(row, scheduled)
    try:
        checked = await check_publication(session, handlers, row, request.overrides, is_due=scheduled is not None)
    except PublicationError as error:
        raise PublicationError(error.detail, (*changed, *error.problems)) from error
    if changed:
        raise PublicationError(changed[0].message, changed)
    await plans.store_plan(session, row.id, checked.plan)
    return checked


def _changed(row: PlaybookRow, scheduled: TransitionRow | None) -> tuple[Problem, ...]:
    """Refuse a draft that was changed since: its author need not have the right to publish it."""
    if scheduled is None or scheduled.details.get("revision") == row.revision:
        return ()
    text = "the draft was changed after its publication was scheduled"
    return (problem("", "CHANGED_SINCE_SCHEDULED", text, "look at it again, and schedule it again"),)


async def _withdraw(
    session: WriteSession, row: PlaybookRow, request: TransitionRequest, scheduled: TransitionRow | None
) -> tuple[tuple[UUID, Action], ...]:
    gone = [
        each
        for each in await transitions.list_scheduled(session, row.id)
        if scheduled is None or each.id != scheduled.id
    ]
    for each in gone:
        await withdraw(session, each, request.actor, f"the version was deleted by '{request.action}'")
    return tuple((each.id, each.action) for each in gone)


async def withdraw(session: WriteSession, found: TransitionRow, actor: Actor, reason: str | None) -> bool:
    """Cancel what is scheduled, with who did it and why. False where it is not scheduled any more."""
    by: JsonObject = {"actor": {"id": str(actor.id), "name": actor.name}, "reason": reason}
    return await transitions.settle(session, found, status="cancelled", details={"cancelled": by})


async def _other_active(session: WriteSession, row: PlaybookRow) -> tuple[tuple[UUID, int], ...]:
    page = await version_rows.list_versions(
        session, PlaybookFilter(code=row.code, statuses=("active",), limit=_MAX_OTHERS + 1)
    )
    return tuple((each.id, each.version) for each in page.items if each.id != row.id)[:_MAX_OTHERS]


async def _record_refusal(
    session: WriteSession, row: PlaybookRow, scheduled: TransitionRow, refusal: PlaybooksError
) -> None:
    failure: JsonObject = {
        "error": {"code": refusal.code, "detail": refusal.detail},
        "problems": [cast("Json", asdict(each)) for each in refusal.problems],
    }
    await transitions.settle(session, scheduled, status="failed", details=failure)
    data: JsonObject = {"action": scheduled.action, "settings": scheduled.details.get("notification"), **failure}
    # Also where no notifications were requested: there is no response in which the refusal could stand.
    await transitions.notify(session, row, scheduled.id, "playbook_transition_failed", data)


def _overridden_to_json(found: Problem, override: Override) -> JsonObject:
    return {"code": found.code, "pointer": found.pointer, "message": found.message, "reason": override.reason}


def _effect_to_json(effect: SideEffect) -> JsonObject:
    facts = {name: value for name, value in asdict(effect).items() if value is not None}
    return {name: str(value) if isinstance(value, UUID) else value for name, value in facts.items()}

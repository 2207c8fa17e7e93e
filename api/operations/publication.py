"""The life cycle of a version: publish, deprecate, reactivate, archive.

Owns permissions and conditions of a transition; which ones exist is `playbooks.lifecycle`'s table. Invariant: what is
active was compiled, and its plan is stored in the same transaction as the transition.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import cast
from uuid import UUID

from api.models.common import ProblemView
from api.models.playbooks import PublicationView, TransitionRequest
from api.operations.validation import compiled, problem_view, report_on
from api.security import Permission, Principal
from api.services import Services
from api.views.playbooks import playbook_view, transition_view
from playbooks.errors import (
    InvalidTransitionError,
    NotSupportedError,
    Problem,
    PublicationError,
)
from playbooks.lifecycle import PERMISSIONS, Action, allowed_actions, next_status
from playbooks.values import JsonObject
from storage import playbooks as rows
from storage.database import WriteSession
from storage.organizations import own_organization
from storage.playbooks import PlaybookRow
from storage.runs import count_live_runs


async def transition(
    services: Services, principal: Principal, playbook_id: UUID, request: TransitionRequest
) -> tuple[PlaybookRow, list[ProblemView]]:
    """The version after the transition, and the warnings that came with it.

    Raises NotFoundError, ForbiddenError, InvalidActionError, InvalidTransitionError, PublicationError,
    NotSupportedError.
    """
    _refuse_unbuilt(request)
    async with services.writing(principal) as session:
        row = await rows.get_version(session, playbook_id)
        to_status = next_status(row.status, request.action)
        action = cast("Action", request.action)
        principal.needs(cast("Permission", PERMISSIONS[action]))
        warnings = await _prepare(services, session, row, action)
        changed = await rows.transition(
            session,
            playbook_id,
            action=action,
            from_status=row.status,
            to_status=to_status,
            actor=principal.actor,
            reason=request.reason,
            effective_date=request.effective_date,
            notification=_notification(request),
        )
    return changed, warnings


async def _prepare(services: Services, session: WriteSession, row: PlaybookRow, action: Action) -> list[ProblemView]:
    if action == "publish":
        return await _compile_and_store(services, session, row)
    if action in ("archive", "delete"):
        await _refuse_live_runs(session, row)
    return []


async def _compile_and_store(services: Services, session: WriteSession, row: PlaybookRow) -> list[ProblemView]:
    document = await rows.get_document(session, row.id)
    result = compiled(services, document, row.id, row.version)
    if result.plan is None:
        detail = f"the playbook has {len(result.errors)} problems and cannot be published"
        raise PublicationError(detail, result.problems)
    organization = await own_organization(session)
    if result.problems and organization is not None and organization.settings.get("strict_publication") is True:
        detail = f"strict publication is on, and the playbook has {len(result.problems)} warnings"
        raise PublicationError(detail, result.problems)
    await rows.store_plan(session, row.id, result.plan)
    return [problem_view(problem) for problem in result.problems]


async def _refuse_live_runs(session: WriteSession, row: PlaybookRow) -> None:
    live = await count_live_runs(session, row.id)
    if live:
        raise InvalidTransitionError(f"the version has {live} runs that have not ended")


def _notification(request: TransitionRequest) -> JsonObject | None:
    settings = request.notification_settings
    return None if settings is None else settings.model_dump(mode="json", exclude_none=True)


def _refuse_unbuilt(request: TransitionRequest) -> None:
    problems: list[Problem] = []
    if request.effective_date is not None and request.effective_date > datetime.now(UTC):
        problems.append(_unbuilt("/effective_date", "transitions cannot be scheduled yet"))
    if request.on_live_runs == "cancel":
        problems.append(_unbuilt("/on_live_runs", "cancelling live runs is not built yet"))
    if request.validation_overrides:
        problems.append(_unbuilt("/validation_overrides", "overrides are not built yet"))
    if problems:
        raise NotSupportedError(problems[0].message, problems)


def _unbuilt(pointer: str, message: str) -> Problem:
    return Problem(pointer=pointer, code="NOT_SUPPORTED", message=message)


async def publication_of(services: Services, principal: Principal, playbook_id: UUID) -> PublicationView:
    """Where a version stands and what may be done with it. Raises NotFoundError."""
    async with services.database.reading(principal.organization_id) as session:
        row = await rows.get_version(session, playbook_id)
        document = await rows.get_document(session, playbook_id)
        history = await rows.list_transitions(session, playbook_id)
    return PublicationView(
        playbook=playbook_view(row, shows_document=False),
        allowed_actions=[
            action for action in allowed_actions(row.status) if principal.may(cast("Permission", PERMISSIONS[action]))
        ],
        validation=report_on(services, document, row.id, row.version),
        history=[transition_view(each) for each in history],
    )

"""Views of publication and transitions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from api.http.schemas import problem_view
from api.http.security import Principal
from api.playbooks.views import playbook_view, report_view
from api.publication.operations import ChangedVersion, Publication
from api.publication.schemas import (
    CancelledRuns,
    ForbiddenAction,
    PublicationView,
    SideEffectView,
    TransitionAnswer,
    TransitionView,
)
from playbooks.common.permissions import Permission
from playbooks.common.values import Actor, JsonObject
from playbooks.lifecycle.side_effects import SideEffect
from playbooks.lifecycle.transitions import PERMISSIONS, Action, allowed_actions
from storage.playbooks.transitions import TransitionRow
from storage.playbooks.version_rows import PlaybookRow


def publication_view(found: Publication, principal: Principal) -> PublicationView:
    """Return the status of a version, with the actions that this principal may and may not take."""
    possible: list[tuple[Action, Permission]] = [
        (action, PERMISSIONS[action]) for action in allowed_actions(found.row.status)
    ]
    return PublicationView(
        playbook=playbook_view(found.row, shows_document=False),
        allowed_actions=[action for action, permission in possible if principal.may(permission)],
        forbidden_actions=[
            ForbiddenAction(action=action, permission=permission)
            for action, permission in possible
            if not principal.may(permission)
        ],
        validation=report_view(found.compiled),
        strict_publication=found.is_strict,
        live_runs=found.live_runs,
        scheduled=[transition_view(each, found.row) for each in found.scheduled],
        history=[transition_view(each) for each in found.history],
    )


def answer_view(changed: ChangedVersion) -> TransitionAnswer:
    """Return the version after a transition, or with a scheduled one."""
    cancels = changed.cancels
    return TransitionAnswer(
        playbook=playbook_view(changed.row, shows_document=False),
        transition=transition_view(changed.transition, changed.row),
        warnings=[problem_view(each) for each in changed.warnings],
        side_effects=_effect_views(changed.effects),
        cancelled_runs=None
        if cancels is None
        else CancelledRuns(
            count=changed.live_runs, cancelled=cancels.cancelled, asked=cancels.asked, pending=cancels.pending
        ),
    )


def transition_view(row: TransitionRow, version: PlaybookRow | None = None) -> TransitionView:
    """Return one transition. With the version, also whether a scheduled publication is still of this draft."""
    details = row.details
    is_planned = row.status == "scheduled" and row.action == "publish" and version is not None
    return TransitionView(
        transition_id=row.id,
        status=row.status,
        action=row.action,
        from_status=row.from_status,
        to_status=row.to_status,
        actor=_actor(row.actor),
        reason=row.reason,
        at=row.at,
        requested_at=row.requested_at,
        effective_date=row.effective_date,
        on_live_runs=_text(details, "on_live_runs") if row.action == "archive" else None,
        validation_overrides=_objects(details, "overrides"),
        overridden=_objects(details, "overridden"),
        side_effects=_objects(details, "side_effects"),
        live_runs=cast("int | None", details.get("live_runs")),
        error=cast("JsonObject | None", details.get("error")),
        problems=_objects(details, "problems"),
        cancelled=cast("JsonObject | None", details.get("cancelled")),
        is_current=details.get("revision") == version.revision if is_planned and version is not None else None,
    )


def _effect_views(effects: Iterable[SideEffect]) -> list[SideEffectView]:
    """Return the side effects of a transition."""
    return [
        SideEffectView(
            kind=each.kind,
            message=each.message,
            count=each.count,
            version=each.version,
            playbook_id=each.playbook_id,
            transition_id=each.transition_id,
        )
        for each in effects
    ]


def _objects(details: JsonObject, name: str) -> list[JsonObject]:
    return cast("list[JsonObject]", details.get(name) or [])


def _text(details: JsonObject, name: str) -> str | None:
    value = details.get(name)
    return value if isinstance(value, str) else None


def _actor(actor: Actor | None) -> JsonObject | None:
    return None if actor is None else {"id": str(actor.id), "name": actor.name}

"""Transitions as the API shows them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from api.publication.schemas import SideEffectView, TransitionView
from playbooks.common.values import Actor, JsonObject
from playbooks.lifecycle.side_effects import SideEffect
from storage.playbooks.transitions import TransitionRow
from storage.playbooks.version_rows import PlaybookRow


def transition_view(row: TransitionRow, version: PlaybookRow | None = None) -> TransitionView:
    """One transition. With the version it also tells whether a scheduled publication is still of this draft."""
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


def effect_views(effects: Iterable[SideEffect]) -> list[SideEffectView]:
    """What a transition touched."""
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

"""Playbook versions as the API shows them."""

from __future__ import annotations

from api.models.playbooks import PlaybookView, TransitionView, ValidationReport
from playbooks.values import Actor, JsonObject
from storage.playbooks import PlaybookRow, TransitionRow


def playbook_view(
    row: PlaybookRow, *, validation: ValidationReport | None = None, shows_document: bool = True
) -> PlaybookView:
    """A version. Its own id is what runs and paths call `playbook_id`."""
    return PlaybookView(
        id=row.id,
        playbook_id=row.id,
        code=row.code,
        name=row.name,
        description=row.description,
        industry=row.industry,
        module=row.module,
        version=row.version,
        status=row.status,
        revision=row.revision,
        smart_code=row.smart_code,
        total_steps=row.total_steps,
        created_by=row.created_by,
        created_at=row.created_at,
        updated_at=row.updated_at,
        document=row.document if shows_document else None,
        validation=validation,
    )


def transition_view(row: TransitionRow) -> TransitionView:
    """One step of a version's life."""
    return TransitionView(
        action=row.action,
        from_status=row.from_status,
        to_status=row.to_status,
        actor=_actor(row.actor),
        reason=row.reason,
        at=row.at,
        effective_date=row.effective_date,
    )


def _actor(actor: Actor | None) -> JsonObject | None:
    return None if actor is None else {"id": str(actor.id), "name": actor.name}

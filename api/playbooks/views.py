"""Playbook versions as the API shows them."""

from __future__ import annotations

from api.playbooks.schemas import PlaybookView, ValidationReport
from storage.playbooks.version_rows import PlaybookRow


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

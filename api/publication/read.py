"""Where a version stands: what may be done with it, what is scheduled, and what happened so far."""

from __future__ import annotations

from typing import cast
from uuid import UUID

from api.http.security import Permission, Principal
from api.playbooks.validation import report_on
from api.playbooks.views import playbook_view
from api.publication.schemas import ForbiddenAction, PublicationView
from api.publication.views import transition_view
from api.services import Services
from playbooks.lifecycle.transitions import PERMISSIONS, Action, allowed_actions
from publication.transitions import is_strict
from storage.playbooks import transitions, version_rows
from storage.runs.admission import count_live_runs


async def publication_of(services: Services, principal: Principal, playbook_id: UUID) -> PublicationView:
    """Where a version stands and what may be done with it. Raises NotFoundError."""
    async with services.database.reading(principal.organization_id) as session:
        row = await version_rows.get_version(session, playbook_id)
        document = await version_rows.get_document(session, playbook_id)
        history = await transitions.list_transitions(session, playbook_id)
        scheduled = await transitions.list_scheduled(session, playbook_id)
        strict = await is_strict(session)
        live = await count_live_runs(session, playbook_id)
    possible: list[tuple[Action, Permission]] = [
        (action, cast("Permission", PERMISSIONS[action])) for action in allowed_actions(row.status)
    ]
    return PublicationView(
        playbook=playbook_view(row, shows_document=False),
        allowed_actions=[action for action, permission in possible if principal.may(permission)],
        forbidden_actions=[
            ForbiddenAction(action=action, permission=permission)
            for action, permission in possible
            if not principal.may(permission)
        ],
        validation=await report_on(services, document, row.id, row.version),
        strict_publication=strict,
        live_runs=live,
        scheduled=[transition_view(each, row) for each in scheduled],
        history=[transition_view(each) for each in history],
    )

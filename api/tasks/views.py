"""Views of tasks."""

from __future__ import annotations

from typing import cast
from uuid import UUID

from api.context import RequestContext
from api.tasks.schemas import PersonView, TaskView, VoteView
from playbooks.common.values import Actor, JsonObject
from storage.runs.task_rows import TaskRow


def task_view(row: TaskRow, context: RequestContext) -> TaskView:
    """Return a task, with what is sensitive only if the caller may see it."""
    return TaskView(
        task_id=row.task_id,
        execution_id=row.execution_id,
        playbook_id=row.playbook_id,
        step_key=row.step_key,
        step_name=row.step_name,
        title=row.title,
        description=row.description,
        input_data=context.reveal(row.input),
        form=row.form,
        required_roles=[*row.required_roles],
        opened_at=row.opened_at,
        due_at=row.due_at,
        closed_at=row.closed_at,
        state=row.state,
        decision=row.decision,
        approvals_required=row.approvals_required,
        approvals_received=row.approvals_received,
        max_voters=row.max_voters,
        is_review=row.is_review,
        escalated=row.escalated,
        claimed_by=_person(row.claimant),
        claimed_at=row.claimed_at,
        votes=[_vote(vote, context) for vote in row.votes],
    )


def _person(actor: Actor | None) -> PersonView | None:
    return None if actor is None else PersonView(id=actor.id, name=actor.name)


def _vote(vote: JsonObject, context: RequestContext) -> VoteView:
    actor = vote.get("actor")
    person = None
    if isinstance(actor, dict) and isinstance(actor.get("id"), str):
        person = PersonView(id=UUID(str(actor["id"])), name=cast("str | None", actor.get("name")))
    return VoteView.model_validate(
        {
            "actor": person,
            "decision": str(vote.get("choice", "")),
            "at": vote.get("at"),
            "comment": vote.get("comment"),
            "data": context.reveal(vote.get("data")),
            "attachments": vote.get("attachments") or [],
        }
    )

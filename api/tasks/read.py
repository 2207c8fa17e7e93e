"""Read the approver's inbox."""

from __future__ import annotations

from collections.abc import Mapping

from api.http.security import Principal
from api.runs.read import check_page
from api.services import Services
from api.tasks.schemas import TaskListQuery
from storage.database.pages import Page
from storage.runs import task_rows
from storage.runs.task_rows import TaskFilter, TaskRow, TaskStatus

_STATES: Mapping[str, tuple[TaskStatus, ...]] = {
    "open": ("open", "claimed"),
    "claimed": ("claimed",),
    "completed": ("completed",),
    "cancelled": ("cancelled",),
    "closed": ("completed", "cancelled"),
    "all": (),
}


async def list_tasks(services: Services, principal: Principal, query: TaskListQuery) -> Page[TaskRow]:
    """One page of tasks. Whoever may not read runs sees those of the own roles only."""
    check_page(query)
    roles = (query.role,) if query.role is not None else ()
    if query.mine or not principal.may("runs:read"):
        own = principal.actor.roles
        roles = tuple(role for role in own if role in (roles or own))
        if not roles:
            return _nothing(query)
    async with services.database.reading(principal.organization_id) as session:
        return await task_rows.list_tasks(
            session,
            TaskFilter(
                states=_STATES[query.state],
                roles=roles,
                execution_id=query.execution_id,
                claimed_by=principal.actor.id if query.claimed_by_me else None,
                limit=query.limit,
                offset=query.offset,
                cursor=query.cursor,
            ),
        )


def _nothing(query: TaskListQuery) -> Page[TaskRow]:
    return Page(items=(), total=0, total_is_exact=True, limit=query.limit, offset=0, has_more=False, next_cursor=None)

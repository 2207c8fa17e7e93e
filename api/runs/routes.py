"""Watch runs: the list, one run, its audit trail."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from api.http.dependencies import IfNoneMatch, Include, Opened, included
from api.http.etags import is_unchanged
from api.http.lists import filters_of, listing
from api.http.problems import documented
from api.http.schemas import Listing, Success
from api.http.security import Auditor, RunReader
from api.runs.read import MAX_WAIT_SECONDS, list_runs, read_details, read_timeline, run_tag, wait_for_change
from api.runs.schemas import EventView, RunListQuery, RunView
from api.runs.views import add_current_step, add_data, add_summary, event_view, full_view, run_view, step_views

router = APIRouter(prefix="/playbooks/runs", tags=["runs"])

_LATER_PARTS = ("logs", "performance")


@router.get("", responses=documented())
async def list_all(query: Annotated[RunListQuery, Query()], principal: RunReader, services: Opened) -> Listing[RunView]:
    """The organization's runs, newest first unless sorted otherwise."""
    page, found, by_status = await list_runs(services, principal, query)
    views: list[RunView] = []
    for each in found:
        view = run_view(each.row, principal)
        add_current_step(view, each.row, each.plan)
        if query.include_output_data:
            add_data(view, each.row, principal, services.sealer)
        if query.include_analytics:
            add_summary(view, each.row, each.plan, each.steps)
        if query.include_steps:
            view.steps = step_views(each.row, each.plan, each.steps, principal, services.sealer)
        views.append(view)
    return listing(page, views, filters_of(query), {"by_status": {**by_status}})


@router.get(
    "/{execution_id}",
    responses={**documented("NOT_FOUND"), 304: {"description": "Not changed since the tag in If-None-Match."}},
    response_model=Success[RunView],
)
async def read_one(
    *,
    execution_id: UUID,
    request: Request,
    principal: RunReader,
    services: Opened,
    response: Response,
    include: Include = None,
    wait: Annotated[int, Query(ge=0, le=MAX_WAIT_SECONDS, description="seconds to wait for a change")] = 0,
    if_none_match: IfNoneMatch = None,
) -> Success[RunView] | Response:
    """A run. With `wait` the answer comes when the run's ETag differs from `If-None-Match`, or, without that header,
    when the run has finished; at the latest after so many seconds."""
    parts = included(include, known=("steps", "timeline"), later=_LATER_PARTS)
    if "timeline" in parts:
        principal.needs("audit:read")
    if wait:

        async def is_wanted() -> bool:
            return not await request.is_disconnected()

        await wait_for_change(
            services, principal, execution_id, if_none_match=if_none_match, seconds=wait, is_wanted=is_wanted
        )
    found = await read_details(services, principal, execution_id)
    tag = run_tag(found.row)
    if is_unchanged(if_none_match, tag):
        return Response(status_code=304, headers={"ETag": tag})
    response.headers["ETag"] = tag
    view = full_view(found, principal, services.sealer)
    if "steps" in parts:
        view.steps = step_views(found.row, found.plan, found.steps, principal, services.sealer)
    if "timeline" in parts:
        events = await read_timeline(services, principal, execution_id)
        view.timeline = [event_view(event, principal, services.sealer) for event in events]
    return Success(data=view)


@router.get("/{execution_id}/timeline", responses=documented("NOT_FOUND"))
async def timeline(
    execution_id: UUID,
    principal: Auditor,
    services: Opened,
    after: Annotated[int, Query(ge=0, le=1_000_000_000, description="entries behind this number")] = 0,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 500,
) -> Success[list[EventView]]:
    """The run's audit trail, oldest first; each entry carries the hash of the one before."""
    events = await read_timeline(services, principal, execution_id, after=after, limit=limit)
    return Success(data=[event_view(event, principal, services.sealer) for event in events])

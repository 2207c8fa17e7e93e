"""Read runs: the list, one run, its audit trail."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from api.context import Auditor, RunReader
from api.execution.schemas import EventView
from api.http.dependencies import IfNoneMatch, Include, included
from api.http.lists import filters_of, listing
from api.http.problems import NOT_MODIFIED, documented
from api.http.schemas import Listing, Success
from api.runs.read import MAX_WAIT_SECONDS, list_runs, read_details, read_timeline, run_tag, wait_for_change
from api.runs.schemas import RunListQuery, RunView
from api.runs.views import add_current_step, add_data, add_summary, event_view, full_view, run_view, step_views

router = APIRouter(prefix="/playbooks/runs", tags=["runs"])

_LATER_PARTS = ("logs", "performance")


@router.get("", responses=documented())
async def list_all(query: Annotated[RunListQuery, Query()], context: RunReader) -> Listing[RunView]:
    """List the organization's runs, newest first unless sorted otherwise."""
    filters = query.to_filter(context.principal.organization_id)
    page, found = await list_runs(context, filters, with_steps=query.include_steps or query.include_analytics)
    views: list[RunView] = []
    for each in found:
        view = run_view(each.row, context.principal)
        add_current_step(view, each)
        if query.include_output_data:
            add_data(view, each.row, context)
        if query.include_analytics:
            add_summary(view, each)
        if query.include_steps:
            view.steps = step_views(each, context)
        views.append(view)
    return listing(page, views, filters_of(query), {"by_status": {**(page.by_status or {})}})


@router.get("/{execution_id}", responses={**documented("NOT_FOUND"), **NOT_MODIFIED})
async def read_one(
    *,
    execution_id: UUID,
    request: Request,
    context: RunReader,
    response: Response,
    include: Include = None,
    wait: Annotated[int, Query(ge=0, le=MAX_WAIT_SECONDS, description="seconds to wait for a change")] = 0,
    if_none_match: IfNoneMatch = None,
) -> Success[RunView]:
    """Read a run. With `wait` the answer is sent when the run's ETag differs from `If-None-Match`, or, without that
    header, when the run has finished; after that many seconds at the latest."""
    parts = included(include, allowed=("steps", "timeline"), later=_LATER_PARTS)
    with_timeline = "timeline" in parts
    if with_timeline:
        context.principal.needs("audit:read")
    if wait:

        async def is_wanted() -> bool:
            return not await request.is_disconnected()

        await wait_for_change(context, execution_id, if_none_match=if_none_match, seconds=wait, is_wanted=is_wanted)
    found = await read_details(context, execution_id, if_none_match=if_none_match, with_timeline=with_timeline)
    response.headers["ETag"] = run_tag(found.row)
    view = full_view(found, context)
    if "steps" in parts:
        view.steps = step_views(found, context)
    if with_timeline:
        view.timeline = [event_view(event, context) for event in found.events]
    return Success(data=view)


@router.get("/{execution_id}/timeline", responses=documented("NOT_FOUND"))
async def timeline(
    execution_id: UUID,
    context: Auditor,
    after: Annotated[int, Query(ge=0, le=1_000_000_000, description="only entries after this number")] = 0,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 500,
) -> Success[list[EventView]]:
    """Read the run's audit trail, oldest entry first. Each entry carries the hash of the one before."""
    events = await read_timeline(context, execution_id, after=after, limit=limit)
    return Success(data=[event_view(event, context) for event in events])

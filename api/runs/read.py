"""Read runs from the rows only, so that reading works while Temporal is away."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from api.context import RequestContext
from api.http.etags import check_if_none_match, etag_of, is_unchanged
from api.http.polling import poll
from playbooks.common.values import FINISHED_RUN
from playbooks.engine.model.plan import Plan
from storage.database.pages import Page
from storage.database.sessions import ReadSession
from storage.runs import audit_trail, lists, run_rows, step_lines
from storage.runs.audit_trail import EventRow
from storage.runs.lists import RunFilter
from storage.runs.payloads import load_payload
from storage.runs.run_rows import RunRow
from storage.runs.step_lines import StepRow

MAX_WAIT_SECONDS = 30


def run_tag(row: RunRow) -> str:
    """Return the run's ETag.

    The epoch is part of it because the sequence number may fall where the epoch rises. The suffix is needed because
    neither changes where a run is cancelled before its start or marked as stuck.
    """
    suffix = ".cancelled" if row.seq == 0 and row.status == "cancelled" else ".stuck" if row.stuck else ""
    return etag_of(f"{row.epoch}.{row.seq}{suffix}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDetails:
    """A run, its plan, the steps that left `pending`, and its audit trail; the last two only where asked for."""

    row: RunRow
    plan: Plan
    steps: Sequence[StepRow] = ()
    events: Sequence[EventRow] = ()


async def read_run(context: RequestContext, execution_id: UUID) -> RunRow:
    """Return the run's row. Raises NotFoundError, also for another organization's run."""
    async with context.reading() as session:
        return await run_rows.get_run(session, execution_id)


async def read_details(
    context: RequestContext, execution_id: UUID, *, if_none_match: str | None = None, with_timeline: bool = False
) -> RunDetails:
    """Return a run with its plan, steps and, if asked for, audit trail, all of one moment.

    Raises NotFoundError, and NotModifiedError before anything but the run's row is read.
    """
    async with context.reading() as session:
        row = await run_rows.get_run(session, execution_id)
        check_if_none_match(if_none_match, run_tag(row))
        if row.output_ref is not None:
            row = replace(row, output=await load_payload(session, execution_id, row.output_ref))
        details = await _details(context, session, row, with_steps=True)
        if not with_timeline:
            return details
        return replace(details, events=await audit_trail.list_events(session, execution_id, after=0, limit=1_000))


async def wait_for_change(
    context: RequestContext,
    execution_id: UUID,
    *,
    if_none_match: str | None,
    seconds: int,
    is_wanted: Callable[[], Awaitable[bool]],
) -> None:
    """Poll until the run's tag is not in `If-None-Match`, or, without that header, until the run has finished.

    Returns after `seconds` at the latest. Raises NotFoundError.
    """

    def holds(row: RunRow) -> bool:
        if if_none_match is None:
            return row.status in FINISHED_RUN
        return not is_unchanged(if_none_match, run_tag(row))

    await poll(lambda: read_run(context, execution_id), holds, min(seconds, MAX_WAIT_SECONDS), is_wanted=is_wanted)


async def list_runs(
    context: RequestContext, filters: RunFilter, *, with_steps: bool
) -> tuple[Page[RunRow], list[RunDetails]]:
    """Return one page of the organization's runs, and the details of each run on it."""
    async with context.reading() as session:
        page = await lists.list_runs(session, filters)
        return page, [await _details(context, session, row, with_steps=with_steps) for row in page.items]


async def read_timeline(context: RequestContext, execution_id: UUID, *, after: int, limit: int) -> Sequence[EventRow]:
    """Return the run's audit trail after entry number `after`. Raises NotFoundError."""
    async with context.reading() as session:
        await run_rows.get_run(session, execution_id)
        return await audit_trail.list_events(session, execution_id, after=after, limit=limit)


async def _details(context: RequestContext, session: ReadSession, row: RunRow, *, with_steps: bool) -> RunDetails:
    version = await context.services.versions.get(session, row.playbook_id)
    steps = await step_lines.list_steps(session, row.execution_id) if with_steps else ()
    return RunDetails(row=row, plan=version.plan, steps=steps)

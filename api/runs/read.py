"""Read runs: from the rows only, so Temporal may be away."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID

from api.http.etags import etag_of, is_unchanged
from api.http.polling import until
from api.http.schemas import PageQuery
from api.http.security import Principal
from api.runs.control import read_run
from api.runs.schemas import RunListQuery
from api.services import Services
from playbooks.common.errors import Problem, ValidationError
from playbooks.common.ids import actor_id
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
    """The run's ETag. The seq may fall where the epoch rises, and a run cancelled before it started keeps seq 0, as
    does one whose workflow is found stuck."""
    mark = ".cancelled" if row.seq == 0 and row.status == "cancelled" else ".stuck" if row.stuck else ""
    return etag_of(f"{row.epoch}.{row.seq}{mark}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDetails:
    """A run, the plan that it follows, and the steps that left `pending` (none where they were not asked for)."""

    row: RunRow
    plan: Plan
    steps: Sequence[StepRow] = ()


async def read_details(services: Services, principal: Principal, execution_id: UUID) -> RunDetails:
    """A run with its plan and steps, of one moment. Raises NotFoundError."""
    async with services.database.reading(principal.organization_id) as session:
        row = await run_rows.get_run(session, execution_id)
        if row.output_ref is not None:
            row = replace(row, output=await load_payload(session, execution_id, row.output_ref))
        return await _details(services, session, row, needs_steps=True)


async def wait_for_change(
    services: Services,
    principal: Principal,
    execution_id: UUID,
    *,
    if_none_match: str | None,
    seconds: int,
    is_wanted: Callable[[], Awaitable[bool]],
) -> RunRow:
    """The run's row once its tag differs from the one given, or without one once the run is finished; at most
    `seconds` later in any case. Raises NotFoundError."""

    async def read() -> RunRow:
        return await read_run(services, principal, execution_id)

    def holds(row: RunRow) -> bool:
        if if_none_match is None:
            return row.status in FINISHED_RUN
        return not is_unchanged(if_none_match, run_tag(row))

    row, _ = await until(read, holds, min(seconds, MAX_WAIT_SECONDS), is_wanted=is_wanted)
    return row


async def list_runs(
    services: Services, principal: Principal, query: RunListQuery
) -> tuple[Page[RunRow], list[RunDetails], dict[str, int]]:
    """One page of the organization's runs, with their plans (and steps, where asked for), and how many runs of each
    status the filters let through."""
    filters = _filter(principal, query)
    needs_steps = query.include_steps or query.include_analytics
    async with services.database.reading(principal.organization_id) as session:
        page = await lists.list_runs(session, filters)
        details = [await _details(services, session, row, needs_steps=needs_steps) for row in page.items]
    return page, details, dict(page.by_status or {})


async def read_timeline(
    services: Services, principal: Principal, execution_id: UUID, *, after: int = 0, limit: int = 1_000
) -> Sequence[EventRow]:
    """The run's audit trail behind entry `after`. Raises NotFoundError."""
    async with services.database.reading(principal.organization_id) as session:
        await run_rows.get_run(session, execution_id)
        return await audit_trail.list_events(session, execution_id, after=after, limit=limit)


async def _details(services: Services, session: ReadSession, row: RunRow, *, needs_steps: bool) -> RunDetails:
    plan = await services.plan_of(session, row.playbook_id)
    steps = await step_lines.list_steps(session, row.execution_id) if needs_steps else ()
    return RunDetails(row=row, plan=plan, steps=steps)


def check_page(query: PageQuery) -> None:
    """Raise ValidationError where a cursor and an offset are mixed."""
    if query.cursor is not None and query.offset:
        message = "a cursor and an offset cannot be mixed"
        raise ValidationError(message, (Problem(pointer="/query/offset", code="NOT_ALLOWED", message=message),))


def _duration(amount_ms: float | None) -> timedelta | None:
    return None if amount_ms is None else timedelta(milliseconds=amount_ms)


def _filter(principal: Principal, query: RunListQuery) -> RunFilter:
    check_page(query)
    initiated_by = None
    if query.initiated_by is not None:
        initiated_by = actor_id(principal.organization_id, query.initiated_by)
    return RunFilter(
        playbook_id=query.playbook_id,
        code=query.code,
        statuses=tuple(query.status),
        initiated_by=initiated_by,
        priority=query.priority,
        tag=query.tag,
        correlation_id=query.correlation_id,
        subject_entity_id=query.subject_entity_id,
        date_from=query.date_from,
        date_to=query.date_to,
        duration_gte=_duration(query.duration_gte),
        duration_lte=_duration(query.duration_lte),
        has_incident=query.has_incident,
        sort_by=query.sort_by,
        sort_direction=query.sort_direction,
        limit=query.limit,
        offset=query.offset,
        cursor=query.cursor,
    )

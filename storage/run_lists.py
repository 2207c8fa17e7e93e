"""Lists of runs: filters, sorts, pages and the summary over what the filters let through.

Owns the SQL of the list. Must not know HTTP. Filters use plain columns and label lines, because under row-level
security an index behind an operator that is not leakproof (all of JSON's) is not used.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, TypeAlias
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    DateTime,
    Float,
    Integer,
    Select,
    Text,
    Uuid,
    and_,
    asc,
    case,
    cast,
    desc,
    exists,
    func,
    literal,
    select,
    tuple_,
)
from sqlalchemy.types import TypeEngine

from playbooks.values import Priority, RunStatus
from storage.database import ReadSession
from storage.labels import LABEL_TYPE, priority_label, tag_label
from storage.pages import COUNT_LIMIT, Cursor, Page, bounded, read_cursor, write_cursor
from storage.run_rows import RunRow, is_run, read_run, select_runs
from storage.tables import entities, lines, transactions

RunSort: TypeAlias = Literal["started_at", "completed_at", "duration", "status", "success_rate", "priority"]
SortDirection: TypeAlias = Literal["asc", "desc"]
_FINISHED = ("completed", "failed", "cancelled")
_RANKS: tuple[Priority, ...] = ("low", "normal", "high", "critical")
INCIDENT_LABEL = "incident:open"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter:
    """Which runs, in which order, how many. `date_from`, `date_to` bound the start, `duration_*` finished runs only."""

    playbook_id: UUID | None = None
    code: str | None = None
    statuses: tuple[RunStatus, ...] = ()
    initiated_by: UUID | None = None
    priority: Priority | None = None
    tag: str | None = None
    correlation_id: str | None = None
    subject_entity_id: UUID | None = None
    date_from: datetime | None = None
    date_to: datetime | None = None
    duration_gte: timedelta | None = None
    duration_lte: timedelta | None = None
    has_incident: bool | None = None
    sort_by: RunSort = "started_at"
    sort_direction: SortDirection = "desc"
    limit: int = 50
    offset: int = 0
    cursor: str | None = None


async def list_runs(session: ReadSession, filters: RunFilter) -> Page[RunRow]:
    """A page of the organization's runs. With a cursor the offset is not looked at.

    Raises ValidationError for a cursor that is not of this list and order.
    """
    limit = bounded(filters.limit)
    order = f"{filters.sort_by}:{filters.sort_direction}"
    expression, kind = _sort(filters.sort_by, filters.sort_direction)
    conditions = _conditions(session.organization_id, filters)
    shown = cast(expression, Text()).label("sort_value")
    statement = select_runs(session.organization_id).add_columns(shown).where(*conditions)
    if filters.cursor is None:
        statement = statement.offset(filters.offset)
    else:
        cursor = read_cursor(filters.cursor, order)
        statement = statement.where(_behind(cursor, expression, kind, filters.sort_direction))
    direction = desc if filters.sort_direction == "desc" else asc
    statement = statement.order_by(direction(expression), direction(transactions.c.id)).limit(limit + 1)
    found = list((await session.connection.execute(statement)).mappings())
    total = await _count(session, conditions)
    page, has_more = found[:limit], len(found) > limit
    last = page[-1] if page and has_more else None
    return Page(
        items=tuple(read_run(row) for row in page),
        total=min(total, COUNT_LIMIT),
        total_is_exact=total <= COUNT_LIMIT,
        limit=limit,
        offset=filters.offset,
        has_more=has_more,
        next_cursor=None
        if last is None
        else write_cursor(Cursor(order=order, value=last["sort_value"], id=last["id"])),
    )


async def summarize_runs(session: ReadSession, filters: RunFilter) -> dict[str, int]:
    """How many of the runs that the filters let through have each status; of the newest COUNT_LIMIT of them."""
    conditions = _conditions(session.organization_id, filters)
    newest = (
        select(transactions.c.transaction_status)
        .where(is_run(session.organization_id), *conditions)
        .order_by(transactions.c.transaction_date.desc(), transactions.c.id.desc())
        .limit(COUNT_LIMIT)
        .subquery()
    )
    statement = select(newest.c.transaction_status, func.count().label("runs")).group_by(newest.c.transaction_status)
    found = (await session.connection.execute(statement)).mappings()
    return {row["transaction_status"]: row["runs"] for row in found}


async def _count(session: ReadSession, conditions: list[ColumnElement[bool]]) -> int:
    """Rows, counted to one more than the limit and no further."""
    some = select(transactions.c.id).where(is_run(session.organization_id), *conditions).limit(COUNT_LIMIT + 1)
    return (await session.connection.execute(select(func.count()).select_from(some.subquery()))).scalar_one()


def _conditions(organization_id: UUID, filters: RunFilter) -> list[ColumnElement[bool]]:
    table = transactions.c
    found: list[ColumnElement[bool] | None] = [
        None if filters.playbook_id is None else table.target_entity_id == filters.playbook_id,
        None if filters.code is None else table.target_entity_id.in_(_versions_of(organization_id, filters.code)),
        None if not filters.statuses else table.transaction_status.in_(filters.statuses),
        None if filters.initiated_by is None else table.created_by == filters.initiated_by,
        None if filters.priority is None else _has_label(organization_id, priority_label(filters.priority)),
        None if filters.tag is None else _has_label(organization_id, tag_label(filters.tag)),
        None if filters.correlation_id is None else table.external_reference == filters.correlation_id,
        None if filters.subject_entity_id is None else table.source_entity_id == filters.subject_entity_id,
        None if filters.date_from is None else table.transaction_date >= filters.date_from,
        None if filters.date_to is None else table.transaction_date <= filters.date_to,
        *_durations(filters),
    ]
    if filters.has_incident is not None:
        has_incident = _has_label(organization_id, INCIDENT_LABEL)
        found.append(has_incident if filters.has_incident else ~has_incident)
    return [condition for condition in found if condition is not None]


def _durations(filters: RunFilter) -> list[ColumnElement[bool]]:
    if filters.duration_gte is None and filters.duration_lte is None:
        return []
    lasted = transactions.c.updated_at - transactions.c.transaction_date
    found: list[ColumnElement[bool]] = [transactions.c.transaction_status.in_(_FINISHED)]
    if filters.duration_gte is not None:
        found.append(lasted >= filters.duration_gte)
    if filters.duration_lte is not None:
        found.append(lasted <= filters.duration_lte)
    return found


def _versions_of(organization_id: UUID, code: str) -> Select[Any]:
    return select(entities.c.id).where(
        entities.c.organization_id == organization_id,
        entities.c.entity_type == "playbook_definition",
        entities.c.entity_code == code,
    )


def _has_label(organization_id: UUID, label: str) -> ColumnElement[bool]:
    return exists().where(
        lines.c.organization_id == organization_id,
        lines.c.line_type == LABEL_TYPE,
        lines.c.description == label,
        lines.c.transaction_id == transactions.c.id,
    )


def _sort(name: RunSort, direction: SortDirection) -> tuple[ColumnElement[Any], TypeEngine[Any]]:
    """What is sorted by, never null (a cursor compares with it), and its type."""
    table = transactions.c
    instant = DateTime(timezone=True)
    is_finished = table.transaction_status.in_(_FINISHED)
    # Runs that are not finished come after all that are, in either direction.
    last = literal("infinity" if direction == "asc" else "-infinity")
    match name:
        case "started_at":
            return table.transaction_date, instant
        case "completed_at":
            return case((is_finished, table.updated_at), else_=cast(last, instant)), instant
        case "duration":
            lasted = func.extract("epoch", table.updated_at - table.transaction_date)
            return case((is_finished, cast(lasted, Float())), else_=cast(last, Float())), Float()
        case "status":
            return table.transaction_status, Text()
        case "success_rate":
            return func.coalesce(cast(table.metadata["success_rate"].astext, Float()), 0.0), Float()
        case "priority":
            ranks = {priority: rank for rank, priority in enumerate(_RANKS)}
            return case(ranks, value=table.metadata["priority"].astext, else_=1), Integer()


def _behind(
    cursor: Cursor, expression: ColumnElement[Any], kind: TypeEngine[Any], direction: SortDirection
) -> ColumnElement[bool]:
    """The rows that come after the cursor's. Its value was written by the database as text and is read back by it."""
    mark = tuple_(cast(cast(cursor.value, Text()), kind), cast(cursor.id, Uuid()))
    row = tuple_(expression, transactions.c.id)
    return and_(row < mark if direction == "desc" else row > mark)

"""Lists of runs: filters, sorts, pages, and counts by status.

Filters use plain columns and label lines, because under row-level security PostgreSQL uses no index for an operator
that is not leakproof (all of JSON's). Invariant: counts are bounded, and each order is that of an index, so that the
cost of a page does not depend on an organization's number of runs (except `success_rate`, which is in JSON that every
flush rewrites).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, TypeAlias, get_args
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    DateTime,
    Float,
    Integer,
    Interval,
    RowMapping,
    Select,
    Uuid,
    asc,
    cast,
    desc,
    exists,
    false,
    func,
    literal,
    literal_column,
    null,
    select,
    tuple_,
    union_all,
)
from sqlalchemy.types import TypeEngine

from playbooks.common.values import Priority, RunStatus
from storage.database.pages import COUNT_LIMIT, Cursor, Page, bounded, read_cursor, refuse_cursor, write_cursor
from storage.database.sessions import ReadSession
from storage.database.tables import entities, lines, transactions
from storage.runs.conditions import IS_FINISHED, IS_UNFINISHED, is_label, is_listed_run, is_run
from storage.runs.labels import INCIDENT_LABEL, priority_label, tag_label
from storage.runs.run_json import SUCCESS_RATE
from storage.runs.run_rows import RUN_COLUMNS, RunRow, read_run

RunSort: TypeAlias = Literal["started_at", "completed_at", "duration", "status", "success_rate", "priority"]
SortDirection: TypeAlias = Literal["asc", "desc"]
_RANKS: tuple[Priority, ...] = ("low", "normal", "high", "critical")
_DIRECTIONS = {"asc": asc, "desc": desc}
_MICROSECOND = timedelta(microseconds=1)

_TABLE = transactions.c


_LASTED: ColumnElement[timedelta] = _TABLE.updated_at - _TABLE.transaction_date


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter:
    """Filters, order and page of a list. `date_from`, `date_to` bound the start; `duration_*` only finished runs."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """Some of the runs, in the order of one index: by the value, then by id; without a value by id alone.

    With a label, they are read from its lines, whose index has the order of the runs' ids.
    """

    value: ColumnElement[Any] | None = None
    condition: ColumnElement[bool] | None = None
    label: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    """One part after the other. `read` turns the text of a cursor back into a value (ValueError, OverflowError)."""

    parts: tuple[_Part, ...]
    kind: TypeEngine[Any]
    read: Callable[[str], Any]


async def list_runs(session: ReadSession, filters: RunFilter) -> Page[RunRow]:
    """A page of the organization's runs. With a cursor the offset is ignored.

    Where more than COUNT_LIMIT runs pass the filters, `by_status` counts that many of them: the newest, unless the
    index has no dates (labels, durations). Raises ValidationError for a cursor that is not of this list and order.
    """
    limit = bounded(filters.limit)
    conditions = await _conditions(session, filters)
    statement = _page(session.organization_id, filters, conditions, limit + 1)
    found = list((await session.connection.execute(statement)).mappings())
    by_status, has_more_to_count = await _count(session, filters, conditions)
    page, has_more = found[:limit], len(found) > limit
    return Page(
        items=tuple(read_run(row) for row in page if row["id"] is not None),
        total=sum(by_status.values()),
        total_is_exact=not has_more_to_count,
        limit=limit,
        offset=filters.offset,
        has_more=has_more,
        next_cursor=_cursor_at(filters, page[-1]) if has_more else None,
        by_status=by_status,
    )


async def _count(
    session: ReadSession, filters: RunFilter, conditions: list[ColumnElement[bool]]
) -> tuple[dict[str, int], bool]:
    """Count the filtered runs by status, and return whether there may be more.

    Exactly COUNT_LIMIT may be all of them: finding out would cost as much as the rest of the list.
    """
    order = [] if _has_order_of_its_own(filters) else [_TABLE.transaction_date.desc(), _TABLE.id.desc()]
    chosen = select(_TABLE.transaction_status.label("status")).where(*conditions)
    chosen = chosen.where(is_listed_run(session.organization_id)).order_by(*order)
    some = chosen.limit(COUNT_LIMIT).subquery()
    statement = select(some.c.status, func.count().label("runs")).group_by(some.c.status)
    by_status = {row["status"]: row["runs"] for row in (await session.connection.execute(statement)).mappings()}
    return by_status, sum(by_status.values()) >= COUNT_LIMIT


def _has_order_of_its_own(filters: RunFilter) -> bool:
    """Whether the filters use an index that does not have the order of dates."""
    asked = (filters.tag, filters.priority, filters.has_incident or None, filters.duration_gte, filters.duration_lte)
    return any(each is not None for each in asked)


def _page(
    organization_id: UUID, filters: RunFilter, conditions: list[ColumnElement[bool]], rows: int
) -> Select[*tuple[Any, ...]]:
    """The rows of a page, with `key`, `part` and `value` as a cursor needs them.

    Each part gives the keys of as many runs as the page may need, read in the order of its index; the page is the first
    of them all, and only its rows are read whole.
    """
    order, offset = _order(filters.sort_by, filters.sort_direction), filters.offset
    at, mark = 0, None
    if filters.cursor is not None:
        at, mark = _read_cursor(filters, order)
        offset = 0
    selects = [
        _keys(organization_id, filters, number, order, mark if number == at else None)
        .where(*conditions)
        .limit(offset + rows)
        for number in range(at, len(order.parts))
    ]
    every = union_all(*selects).subquery("every") if len(selects) > 1 else selects[0].subquery("every")
    direction = _DIRECTIONS[filters.sort_direction]
    first = (
        select(every.c.id, every.c.part, every.c.value)
        .order_by(every.c.part, direction(every.c.value), direction(every.c.id))
        .offset(offset)
        .limit(rows)
        .subquery("keys")
    )
    # An outer join: a foreign row that an index takes for ours is left out, and the list goes on behind it.
    whole = first.outerjoin(transactions, (_TABLE.id == first.c.id) & is_run(organization_id))
    columns = (*RUN_COLUMNS, first.c.id.label("key"), first.c.part, first.c.value)
    return select(*columns).select_from(whole).order_by(first.c.part, direction(first.c.value), direction(first.c.id))


def _keys(
    organization_id: UUID, filters: RunFilter, number: int, order: _Order, mark: tuple[Any, UUID] | None
) -> Select[*tuple[Any, ...]]:
    """The keys of a part in its order, behind the mark."""
    part, direction = order.parts[number], _DIRECTIONS[filters.sort_direction]
    identity = _TABLE.id if part.label is None else lines.c.transaction_id
    value = cast(null(), order.kind) if part.value is None else part.value
    columns = (_TABLE.id, literal_column(str(number), Integer()).label("part"), value.label("value"))
    chosen = select(*columns).where(is_listed_run(organization_id))
    if part.condition is not None:
        chosen = chosen.where(part.condition)
    if part.label is not None:
        labelled = transactions.join(lines, identity == _TABLE.id)
        chosen = chosen.select_from(labelled).where(is_label(organization_id), lines.c.description == part.label)
    if mark is not None:
        behind, here = (
            (identity, cast(mark[1], Uuid()))
            if part.value is None
            else (
                tuple_(part.value, identity),
                tuple_(cast(literal(mark[0], order.kind), order.kind), cast(mark[1], Uuid())),
            )
        )
        chosen = chosen.where(behind < here if filters.sort_direction == "desc" else behind > here)
    by_value = [] if part.value is None else [direction(part.value)]
    return chosen.order_by(*by_value, direction(identity))


def _order(name: RunSort, direction: SortDirection) -> _Order:
    """The parts of an order. Unfinished runs come last in orders by the end, in either direction."""
    instant = DateTime(timezone=True)
    waiting = _Part(condition=IS_UNFINISHED)
    match name:
        case "started_at":
            return _Order(parts=(_Part(value=_TABLE.transaction_date),), kind=instant, read=_instant)
        case "completed_at":
            ended = _Part(value=_TABLE.updated_at, condition=IS_FINISHED)
            return _Order(parts=(ended, waiting), kind=instant, read=_instant)
        case "duration":
            ended = _Part(value=_LASTED, condition=IS_FINISHED)
            return _Order(parts=(ended, waiting), kind=Interval(), read=_interval)
        case "status":
            names = sorted(get_args(RunStatus), reverse=direction == "desc")
            each = [_Part(value=_TABLE.transaction_date, condition=_TABLE.transaction_status == one) for one in names]
            return _Order(parts=tuple(each), kind=instant, read=_instant)
        case "success_rate":
            return _Order(parts=(_Part(value=SUCCESS_RATE),), kind=Float(), read=float)
        case "priority":
            ranks = _RANKS if direction == "asc" else _RANKS[::-1]
            labelled = tuple(_Part(label=priority_label(priority)) for priority in ranks)
            return _Order(parts=labelled, kind=Integer(), read=str)


def _cursor_at(filters: RunFilter, row: RowMapping) -> str:
    value = row["value"]
    if isinstance(value, datetime):
        text = value.isoformat()
    elif isinstance(value, timedelta):
        text = str(value // _MICROSECOND)
    else:
        text = "" if value is None else repr(value)
    return write_cursor(Cursor(order=_order_name(filters), value=f"{row['part']}:{text}", id=row["key"]))


def _read_cursor(filters: RunFilter, order: _Order) -> tuple[int, tuple[Any, UUID]]:
    """The part in which the page before ended, and its last row there. Raises ValidationError."""
    cursor = read_cursor(filters.cursor or "", _order_name(filters))
    number, _, text = cursor.value.partition(":")
    try:
        part = order.parts[_index(number)]
        return int(number), (None if part.value is None else order.read(text), cursor.id)
    except (ValueError, OverflowError, IndexError):
        raise refuse_cursor() from None


def _order_name(filters: RunFilter) -> str:
    return f"{filters.sort_by}:{filters.sort_direction}"


def _index(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError("not a part's number")
    return int(text)


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError("an instant has an offset")
    return instant


def _interval(text: str) -> timedelta:
    return int(text) * _MICROSECOND


async def _conditions(session: ReadSession, filters: RunFilter) -> list[ColumnElement[bool]]:
    table, organization_id = _TABLE, session.organization_id
    found: list[ColumnElement[bool] | None] = [
        None if filters.playbook_id is None else table.target_entity_id == filters.playbook_id,
        None if filters.code is None else await _is_version_of(session, filters.code),
        _is_one_of(table.transaction_status, filters.statuses),
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


def _is_one_of(column: ColumnElement[Any], values: Sequence[Any]) -> ColumnElement[bool] | None:
    """Equality where there is one value: an index has the order of the next column only behind an equal one."""
    if not values:
        return None
    return column == values[0] if len(set(values)) == 1 else column.in_(values)


def _durations(filters: RunFilter) -> list[ColumnElement[bool]]:
    if filters.duration_gte is None and filters.duration_lte is None:
        return []
    found = [IS_FINISHED]
    if filters.duration_gte is not None:
        found.append(filters.duration_gte <= _LASTED)
    if filters.duration_lte is not None:
        found.append(filters.duration_lte >= _LASTED)
    return found


async def _is_version_of(session: ReadSession, code: str) -> ColumnElement[bool]:
    """Read the ids in a query of their own: PostgreSQL chooses the right index for constant ids only."""
    statement = select(entities.c.id).where(
        entities.c.organization_id == session.organization_id,
        entities.c.entity_type == "playbook_definition",
        entities.c.entity_code == code,
    )
    versions = (await session.connection.execute(statement)).scalars().all()
    is_version = _is_one_of(_TABLE.target_entity_id, versions)
    return false() if is_version is None else is_version


def _has_label(organization_id: UUID, label: str) -> ColumnElement[bool]:
    # Under another name, because an order may read the lines of labels too.
    labels = lines.alias("label")
    is_it = is_label(organization_id, labels) & (labels.c.description == label)
    return exists().where(is_it, labels.c.transaction_id == _TABLE.id)

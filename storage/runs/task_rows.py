"""Reads tasks: one by its id, or the inbox by state, role and person.

Lists filter by plain columns: `entity_code` is the run's id, `status` the task's state, `tags` the roles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias, cast
from uuid import UUID

from sqlalchemy import ColumnElement, RowMapping, Select, Text, Uuid, func, select, tuple_
from sqlalchemy import cast as sql_cast

from playbooks.common.errors import NotFoundError
from playbooks.common.values import Actor, Json, JsonObject, PayloadRef
from playbooks.engine.model.state import TaskDecision
from storage.database import json_columns
from storage.database.pages import COUNT_LIMIT, Cursor, Page, bounded, read_cursor, write_cursor
from storage.database.sessions import ReadSession
from storage.database.tables import dynamic_data, entities
from storage.runs.payloads import load_payloads

TASK_TYPE = "playbook_task"
FIELDS = ("input", "proposal", "form")
TaskStatus: TypeAlias = Literal["open", "claimed", "completed", "cancelled"]
_ORDER = "opened_at:desc"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRow:
    """One task as stored. `input`, `proposal` and vote data are sealed at their sensitive pointers.

    `form` is the schema of an approval's data; `proposal` the output under review. `state`: not claimed (`open`),
    claimed (`claimed`), decided (`completed`), or its step ended without a decision (`cancelled`).
    `votes` are `{actor, choice, at, comment, data, attachments}`.
    """

    task_id: UUID
    execution_id: UUID
    playbook_id: UUID
    step_key: str
    step_name: str
    visit: int
    title: str
    description: str | None
    input: Json
    proposal: Json
    form: JsonObject | None
    required_roles: tuple[str, ...]
    opened_at: datetime
    due_at: datetime | None
    state: TaskStatus
    claimant: Actor | None
    claimed_at: datetime | None
    approvals_required: int
    approvals_received: int
    max_voters: int
    votes: tuple[JsonObject, ...]
    decision: TaskDecision | None
    closed_at: datetime | None
    is_review: bool
    escalated: bool
    seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFilter:
    """Filters of a list, newest first. `roles`: tasks for any of these; `claimed_by`: claimed by this person.

    With a cursor the offset is ignored.
    """

    states: tuple[TaskStatus, ...] = ()
    roles: tuple[str, ...] = ()
    execution_id: UUID | None = None
    claimed_by: UUID | None = None
    step_key: str | None = None
    limit: int = 50
    offset: int = 0
    cursor: str | None = None


async def get_task(session: ReadSession, task_id: UUID) -> TaskRow:
    """The task with its input and form. Raises NotFoundError, also for another organization's id."""
    found = (await session.connection.execute(_select(session).where(entities.c.id == task_id))).mappings()
    row = found.one_or_none()
    if row is None:
        raise NotFoundError("there is no such task")
    return (await _rows(session, [row]))[0]


async def list_tasks(session: ReadSession, filters: TaskFilter) -> Page[TaskRow]:
    """A page of the organization's tasks. Raises ValidationError for a cursor that is not of this list."""
    limit = bounded(filters.limit)
    chosen = _select(session).where(*_conditions(filters))
    statement = chosen.order_by(entities.c.created_at.desc(), entities.c.id.desc()).limit(limit + 1)
    if filters.cursor is None:
        statement = statement.offset(filters.offset)
    else:
        statement = statement.where(_behind(read_cursor(filters.cursor, _ORDER)))
    found = list((await session.connection.execute(statement)).mappings())
    page, has_more = found[:limit], len(found) > limit
    some = chosen.limit(COUNT_LIMIT + 1).subquery()
    total = (await session.connection.execute(select(func.count()).select_from(some))).scalar_one()
    return Page(
        items=await _rows(session, page),
        total=min(total, COUNT_LIMIT),
        total_is_exact=total <= COUNT_LIMIT,
        limit=limit,
        offset=filters.offset,
        has_more=has_more,
        next_cursor=_cursor_at(page[-1]) if has_more else None,
    )


def _select(session: ReadSession) -> Select[*tuple[Any, ...]]:
    table = entities.c
    return select(
        table.id,
        table.entity_name,
        table.entity_description,
        table.metadata,
        table.status,
        table.version,
        table.created_at,
    ).where(table.organization_id == session.organization_id, table.entity_type == TASK_TYPE)


def _conditions(filters: TaskFilter) -> list[ColumnElement[bool]]:
    table = entities.c
    found: list[ColumnElement[bool] | None] = [
        None if not filters.states else table.status.in_(filters.states),
        None if not filters.roles else table.tags.overlap(list(filters.roles)),
        None if filters.execution_id is None else table.entity_code == str(filters.execution_id),
        None if filters.step_key is None else table.metadata["step_key"].astext == filters.step_key,
        None if filters.claimed_by is None else table.metadata["task"]["claims"].contains([str(filters.claimed_by)]),
    ]
    return [condition for condition in found if condition is not None]


def _behind(cursor: Cursor) -> ColumnElement[bool]:
    at = sql_cast(sql_cast(cursor.value, Text()), entities.c.created_at.type)
    return tuple_(entities.c.created_at, entities.c.id) < tuple_(at, sql_cast(cursor.id, Uuid()))


def _cursor_at(row: RowMapping) -> str:
    return write_cursor(Cursor(order=_ORDER, value=row["created_at"].isoformat(), id=row["id"]))


async def _rows(session: ReadSession, found: Sequence[RowMapping]) -> tuple[TaskRow, ...]:
    """The tasks with their fields, which are rows of their own."""
    statement = select(dynamic_data.c.entity_id, dynamic_data.c.field_name, dynamic_data.c.field_value_json).where(
        dynamic_data.c.organization_id == session.organization_id,
        dynamic_data.c.entity_id.in_([row["id"] for row in found]),
        dynamic_data.c.field_name.in_(FIELDS),
    )
    fields: dict[tuple[UUID, str], JsonObject] = {}
    for row in (await session.connection.execute(statement)).mappings() if found else ():
        fields[row["entity_id"], row["field_name"]] = json_columns.as_object(row["field_value_json"])
    rows: list[TaskRow] = []
    for row in found:
        execution_id = UUID(str(json_columns.as_object(row["metadata"])["execution_id"]))
        mine = {name: fields.get((row["id"], name), {}) for name in FIELDS}
        rows.append(_row(row, execution_id, await _with_stored(session, execution_id, mine)))
    return tuple(rows)


async def _with_stored(session: ReadSession, execution_id: UUID, fields: dict[str, JsonObject]) -> dict[str, Json]:
    """The fields' values, those that were stored apart read from the run's lines."""
    refs: dict[str, PayloadRef] = {}
    for name, field in fields.items():
        ref = json_columns.ref_from_json(field.get("ref"))
        if ref is not None:
            refs[name] = ref
    stored = await load_payloads(session, execution_id, list(refs.values()))
    apart = {name: stored.get(ref.line_number) for name, ref in refs.items()}
    return {name: apart[name] if name in apart else field.get("value") for name, field in fields.items()}


def _row(row: RowMapping, execution_id: UUID, fields: dict[str, Json]) -> TaskRow:
    facts = json_columns.as_object(row["metadata"])
    task = json_columns.as_object(facts.get("task"))
    votes = tuple(json_columns.as_object(vote) for vote in json_columns.as_list(task.get("votes")))
    form = fields["form"]
    return TaskRow(
        task_id=row["id"],
        execution_id=execution_id,
        playbook_id=UUID(str(facts["playbook_id"])),
        step_key=json_columns.as_text(facts.get("step_key")) or "",
        step_name=json_columns.as_text(facts.get("step_name")) or "",
        visit=json_columns.as_int(facts.get("visit"), 1),
        title=row["entity_name"],
        description=row["entity_description"],
        input=fields["input"],
        proposal=fields["proposal"],
        form=form if isinstance(form, dict) else None,
        required_roles=tuple(str(role) for role in json_columns.as_list(task.get("roles"))),
        opened_at=row["created_at"],
        due_at=json_columns.instant_from_json(task.get("due_at")),
        state=cast("TaskStatus", row["status"]),
        claimant=json_columns.actor_from_json(task.get("claimant")),
        claimed_at=json_columns.instant_from_json(task.get("claimed_at")),
        approvals_required=json_columns.as_int(facts.get("approvals_required"), 1),
        approvals_received=sum(vote.get("choice") == "approve" for vote in votes),
        max_voters=json_columns.as_int(facts.get("max_voters"), 1),
        votes=votes,
        decision=cast("TaskDecision | None", task.get("decision")),
        closed_at=json_columns.instant_from_json(task.get("closed_at")),
        is_review=task.get("is_review") is True,
        escalated=task.get("escalated") is True,
        seq=row["version"] or 0,
    )

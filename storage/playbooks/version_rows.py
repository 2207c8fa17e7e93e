"""Reads playbook versions: one by its id, or a list.

`version` is the playbook's version number (the `V{n}` of its smart code); `revision` is the row's own counter, which
rises with each change and is the version's `ETag`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from sqlalchemy import ColumnElement, RowMapping, Select, Text, Uuid, func, select, tuple_
from sqlalchemy import cast as sql_cast

from playbooks.common.errors import NotFoundError
from playbooks.common.values import JsonObject
from playbooks.document.model import PlaybookDocument, read_document
from playbooks.lifecycle.transitions import PlaybookStatus
from storage.database import json_columns
from storage.database.pages import COUNT_LIMIT, Cursor, Page, bounded, read_cursor, write_cursor
from storage.database.sessions import ReadSession, WriteSession
from storage.database.tables import dynamic_data, entities

PLAYBOOK_TYPE = "playbook_definition"
_ORDER = "created_at:desc"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaybookRow:
    """One version of a playbook. `document` is empty in lists unless they were asked for documents."""

    id: UUID
    organization_id: UUID
    code: str
    name: str
    description: str | None
    industry: str
    module: str | None
    smart_code: str
    version: int
    status: PlaybookStatus
    revision: int
    total_steps: int
    created_by: UUID | None
    created_at: datetime
    updated_by: UUID | None
    updated_at: datetime
    document: JsonObject = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaybookFilter:
    """Filters of a list, newest first; deleted versions only where `statuses` names them. `search` is over names.

    With a cursor the offset is ignored.
    """

    code: str | None = None
    statuses: tuple[PlaybookStatus, ...] = ()
    industry: str | None = None
    module: str | None = None
    search: str | None = None
    with_documents: bool = False
    limit: int = 50
    offset: int = 0
    cursor: str | None = None


async def get_version(session: ReadSession, playbook_id: UUID) -> PlaybookRow:
    """The version with its document. Raises NotFoundError, also for another organization's id."""
    statement = select_versions(session, with_documents=True).where(entities.c.id == playbook_id)
    row = (await session.connection.execute(statement)).mappings().one_or_none()
    if row is None:
        raise NotFoundError("there is no such playbook")
    return _row(row)


async def hold_version(session: WriteSession, playbook_id: UUID) -> PlaybookRow:
    """Lock the version: until this transaction ends no other changes it or starts a run of it. Raises NotFoundError."""
    statement = (
        select(entities.c.id)
        .where(entities.c.organization_id == session.organization_id, entities.c.id == playbook_id)
        .where(entities.c.entity_type == PLAYBOOK_TYPE)
        .with_for_update()
    )
    if (await session.connection.execute(statement)).first() is None:
        raise NotFoundError("there is no such playbook")
    # Read after the lock: a document read before it may have been replaced meanwhile.
    return await get_version(session, playbook_id)


async def share_version(session: WriteSession, playbook_id: UUID) -> PlaybookRow:
    """The version without its document, under a shared lock: its status does not change until this transaction ends.

    The lock is the one that a run's foreign key takes anyway. Raises NotFoundError.
    """
    statement = select_versions(session, with_documents=False).where(entities.c.id == playbook_id)
    statement = statement.with_for_update(read=True, key_share=True)
    row = (await session.connection.execute(statement)).mappings().one_or_none()
    if row is None:
        raise NotFoundError("there is no such playbook")
    return _row(row)


async def get_document(session: ReadSession, playbook_id: UUID) -> PlaybookDocument:
    """The version's document, read. Raises NotFoundError."""
    return read_document((await get_version(session, playbook_id)).document)


async def list_versions(session: ReadSession, filters: PlaybookFilter) -> Page[PlaybookRow]:
    """A page of the organization's versions. Raises ValidationError for a cursor that is not of this list."""
    limit = bounded(filters.limit)
    conditions = _conditions(filters)
    statement = select_versions(session, with_documents=filters.with_documents).where(*conditions)
    if filters.cursor is None:
        statement = statement.offset(filters.offset)
    else:
        statement = statement.where(_behind(read_cursor(filters.cursor, _ORDER)))
    statement = statement.order_by(entities.c.created_at.desc(), entities.c.id.desc()).limit(limit + 1)
    found = list((await session.connection.execute(statement)).mappings())
    page, has_more = found[:limit], len(found) > limit
    some = select_versions(session, with_documents=False).where(*conditions).limit(COUNT_LIMIT + 1).subquery()
    total = (await session.connection.execute(select(func.count()).select_from(some))).scalar_one()
    return Page(
        items=tuple(_row(row) for row in page),
        total=min(total, COUNT_LIMIT),
        total_is_exact=total <= COUNT_LIMIT,
        limit=limit,
        offset=filters.offset,
        has_more=has_more,
        next_cursor=_cursor_at(page[-1]) if has_more else None,
    )


async def versions_of(session: ReadSession, code: str) -> tuple[PlaybookRow, ...]:
    """All versions of a code, deleted ones too, newest first, without their documents."""
    statement = select_versions(session, with_documents=False).where(entities.c.entity_code == code)
    rows = [_row(row) for row in (await session.connection.execute(statement)).mappings()]
    return tuple(sorted(rows, key=lambda row: -row.version))


def select_versions(session: ReadSession, *, with_documents: bool) -> Select[*tuple[Any, ...]]:
    """The columns of the organization's versions that `get_version` and lists read."""
    table = entities.c
    statement = select(
        table.id,
        table.organization_id,
        table.entity_code,
        table.entity_name,
        table.entity_description,
        table.smart_code,
        table.metadata,
        table.status,
        table.version,
        table.created_by,
        table.created_at,
        table.updated_by,
        table.updated_at,
    ).where(
        table.organization_id == session.organization_id,
        table.entity_type == PLAYBOOK_TYPE,
        # Another application may have entities of this type; ours have a version.
        table.metadata.has_key("playbook_version"),
    )
    if not with_documents:
        return statement
    is_document = (dynamic_data.c.entity_id == table.id) & (dynamic_data.c.field_name == "document")
    mine = dynamic_data.c.organization_id == session.organization_id
    return statement.add_columns(dynamic_data.c.field_value_json).join(dynamic_data, is_document & mine)


def _conditions(filters: PlaybookFilter) -> list[ColumnElement[bool]]:
    table = entities.c
    found: list[ColumnElement[bool] | None] = [
        None if filters.code is None else table.entity_code == filters.code,
        table.status.in_(filters.statuses) if filters.statuses else table.status != "deleted",
        None if filters.industry is None else table.metadata["industry"].astext == filters.industry,
        None if filters.module is None else table.metadata["module"].astext == filters.module,
        None if filters.search is None else table.entity_name.icontains(filters.search, autoescape=True),
    ]
    return [condition for condition in found if condition is not None]


def _behind(cursor: Cursor) -> ColumnElement[bool]:
    at = sql_cast(sql_cast(cursor.value, Text()), entities.c.created_at.type)
    return tuple_(entities.c.created_at, entities.c.id) < tuple_(at, sql_cast(cursor.id, Uuid()))


def _cursor_at(row: RowMapping) -> str:
    return write_cursor(Cursor(order=_ORDER, value=row["created_at"].isoformat(), id=row["id"]))


def _row(row: RowMapping) -> PlaybookRow:
    facts = json_columns.as_object(row["metadata"])
    return PlaybookRow(
        id=row["id"],
        organization_id=row["organization_id"],
        code=row["entity_code"],
        name=row["entity_name"],
        description=row["entity_description"],
        industry=json_columns.as_text(facts.get("industry")) or "",
        module=json_columns.as_text(facts.get("module")),
        smart_code=row["smart_code"],
        version=json_columns.as_int(facts.get("playbook_version")),
        status=cast("PlaybookStatus", row["status"]),
        revision=row["version"] or 1,
        total_steps=json_columns.as_int(facts.get("total_steps")),
        created_by=row["created_by"],
        created_at=row["created_at"],
        updated_by=row["updated_by"],
        updated_at=row["updated_at"],
        document=json_columns.as_object(row.get("field_value_json")),
    )

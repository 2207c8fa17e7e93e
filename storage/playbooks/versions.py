"""Writes playbook versions as drafts.

Invariants: only a draft's document changes; a version number of a code exists once; a published version keeps the plan
that it was published with; a code has one draft at most.
"""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import func, insert, text, update

from playbooks.common import smart_codes
from playbooks.common.errors import AlreadyExistsError, PlaybookImmutableError, PreconditionFailedError
from playbooks.common.errors import error as problem
from playbooks.common.values import Actor
from playbooks.document.model import PlaybookDocument
from playbooks.lifecycle.transitions import is_locked
from storage.database import json_columns
from storage.database.sessions import ReadSession, WriteSession
from storage.database.tables import entities
from storage.playbooks.parts import insert_parts, remove_parts
from storage.playbooks.version_rows import (
    PLAYBOOK_TYPE,
    PlaybookFilter,
    PlaybookRow,
    get_version,
    hold_version,
    list_versions,
    select_versions,
)


async def insert_version(
    session: WriteSession, *, playbook_id: UUID, document: PlaybookDocument, version: int, actor: Actor
) -> PlaybookRow:
    """Store a version as a draft.

    Raises AlreadyExistsError when the organization has this version of the code (version 1: any version of it) already,
    or a draft of it, ValidationError when something in it cannot be stored.
    """
    await _lock_code(session, document.code)
    draft = await draft_of(session, document.code)
    if draft is not None:
        raise _second_draft(draft)
    latest = await latest_version(session, document.code)
    if version <= latest:
        raise AlreadyExistsError(f"version {version} of the playbook '{document.code}' exists already")
    values = _columns(document, version)
    values |= {"id": playbook_id, "organization_id": session.organization_id, "entity_type": PLAYBOOK_TYPE}
    values |= {"status": "draft", "version": 1, "created_by": actor.id, "updated_by": actor.id}
    await session.connection.execute(insert(entities).values(values))
    await insert_parts(session, playbook_id, document, version, actor)
    return await get_version(session, playbook_id)


async def replace_document(
    session: WriteSession, playbook_id: UUID, *, document: PlaybookDocument, revision: int, actor: Actor
) -> PlaybookRow:
    """Give a draft another document.

    Raises NotFoundError, PlaybookImmutableError when it is no draft, PreconditionFailedError when its revision is not
    `revision` any more, ValidationError when something in it cannot be stored.
    """
    row = await hold_version(session, playbook_id)
    if is_locked(row.status):
        raise PlaybookImmutableError(f"the playbook is {row.status}, and only a draft changes")
    if row.revision != revision:
        raise PreconditionFailedError("the playbook was changed meanwhile")
    await remove_parts(session, playbook_id)
    values = _columns(document, row.version)
    values |= {"version": revision + 1, "updated_by": actor.id, "updated_at": func.now()}
    await session.connection.execute(
        update(entities)
        .where(entities.c.organization_id == session.organization_id, entities.c.id == playbook_id)
        .values(values)
    )
    await insert_parts(session, playbook_id, document, row.version, actor)
    return await get_version(session, playbook_id)


async def draft_of(session: ReadSession, code: str) -> PlaybookRow | None:
    """The draft of a code, of which there is at most one."""
    page = await list_versions(session, PlaybookFilter(code=code, statuses=("draft",), limit=1))
    return next(iter(page.items), None)


async def latest_version(session: ReadSession, code: str) -> int:
    """The highest version number of the code, deleted ones too; 0 when there is none."""
    found = select_versions(session, with_documents=False).where(entities.c.entity_code == code)
    rows = (await session.connection.execute(found)).mappings()
    return max((json_columns.as_int(row["metadata"]["playbook_version"]) for row in rows), default=0)


def _columns(document: PlaybookDocument, version: int) -> dict[str, object]:
    return {
        "entity_name": document.name,
        "entity_code": document.code,
        "entity_description": document.description,
        "smart_code": smart_codes.playbook_code(document.industry, document.code, version),
        "smart_code_status": "ACTIVE",
        "metadata": {
            "playbook_version": version,
            "industry": document.industry,
            "module": document.module,
            "total_steps": len(document.steps),
        },
    }


def _second_draft(draft: PlaybookRow) -> AlreadyExistsError:
    message = f"version {draft.version} of the playbook '{draft.code}' is a draft already: {draft.id}"
    hint = f"change the draft /playbooks/{draft.id}, or publish or delete it first"
    return AlreadyExistsError(message, (problem("", "DRAFT_EXISTS", message, hint),))


async def _lock_code(session: WriteSession, code: str) -> None:
    """Number the versions of one code one after the other, also while there is no row to lock."""
    statement = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")
    await session.connection.execute(statement, {"name": f"playbook:{session.organization_id}:{code}"})

"""Parts of one playbook version: an entity for each step, relationships, contracts and the document.

The document's field is authoritative; steps and contracts beside it are for readers of the tables. `versions.py`
decides when they may change.
"""

from __future__ import annotations

from typing import Any, TypedDict
from uuid import UUID, uuid5

from sqlalchemy import delete, insert, or_, select

from playbooks.common import ids, smart_codes
from playbooks.common.values import Actor, Json
from playbooks.document.model import PlaybookDocument, StepDocument
from storage.database import json_columns
from storage.database.quarantine import refuse_poison
from storage.database.sessions import WriteSession
from storage.database.tables import dynamic_data, entities, relationships
from storage.playbooks.version_rows import PLAYBOOK_TYPE

STEP_TYPE = "playbook_step_definition"


class _Codes(TypedDict):
    """The common parts of all smart codes of a version."""

    industry: str
    version: int


async def insert_parts(
    session: WriteSession, playbook_id: UUID, document: PlaybookDocument, version: int, actor: Actor
) -> None:
    """Insert the parts of a version whose entity exists. Raises ValidationError when one cannot be stored."""
    whole = document.to_json()
    refuse_poison("the playbook", whole)
    fields: dict[str, Json] = {"document": whole}
    fields |= {name: whole[name] for name in ("input_contract", "output_contract", "policies") if name in whole}
    codes = _Codes(industry=document.industry, version=version)
    rows = [field_values(session, playbook_id, name, value, **codes) for name, value in fields.items()]
    related: list[dict[str, Any]] = []
    steps: list[dict[str, Any]] = []
    for step in document.ordered_steps:
        identity = ids.step_entity_id(playbook_id, step.step_key)
        steps.append(_step(session, playbook_id, step, codes) | {"created_by": actor.id})
        step_fields = json_columns.as_object(step.model_dump(mode="json", exclude_unset=True))
        rows += [
            field_values(session, identity, name, step_fields[name], **codes)
            for name in ("input_contract", "output_contract", "config")
            if step_fields.get(name) is not None
        ]
        link = _related(session, (playbook_id, identity), "playbook_has_step", codes)
        related.append(link | {"relationship_data": {"step_number": step.step_number}})
    first = await _first_version(session, document.code, playbook_id)
    if first is not None:
        link = _related(session, (playbook_id, first), "playbook_version_of", codes)
        related.append(link | {"relationship_data": {}})
    if steps:
        await session.connection.execute(insert(entities), steps)
    await session.connection.execute(insert(dynamic_data), rows)
    if related:
        await session.connection.execute(insert(relationships), related)


async def remove_parts(session: WriteSession, playbook_id: UUID) -> None:
    """Delete the parts of a draft, so that they can be written anew. Nothing refers to a draft's steps."""
    connection, organization_id = session.connection, session.organization_id
    mine = (entities.c.organization_id == organization_id) & (entities.c.parent_entity_id == playbook_id)
    steps = select(entities.c.id).where(mine, entities.c.entity_type == STEP_TYPE)
    await connection.execute(
        delete(relationships).where(
            relationships.c.organization_id == organization_id,
            or_(relationships.c.from_entity_id == playbook_id, relationships.c.from_entity_id.in_(steps)),
        )
    )
    await connection.execute(
        delete(dynamic_data).where(
            dynamic_data.c.organization_id == organization_id,
            or_(dynamic_data.c.entity_id == playbook_id, dynamic_data.c.entity_id.in_(steps)),
        )
    )
    await connection.execute(delete(entities).where(mine, entities.c.entity_type == STEP_TYPE))


def field_values(
    session: WriteSession, entity_id: UUID, name: str, value: Json, *, industry: str, version: int
) -> dict[str, Any]:
    """The columns of one JSON field of an entity."""
    return {
        "organization_id": session.organization_id,
        "entity_id": entity_id,
        "field_name": name,
        "field_type": "json",
        "field_value_json": value,
        "smart_code": smart_codes.build(industry, "FIELD", name, version),
        "smart_code_status": "ACTIVE",
    }


def _step(session: WriteSession, playbook_id: UUID, step: StepDocument, codes: _Codes) -> dict[str, Any]:
    return {
        "id": ids.step_entity_id(playbook_id, step.step_key),
        "organization_id": session.organization_id,
        "entity_type": STEP_TYPE,
        "entity_name": step.name,
        "entity_code": step.step_key,
        "entity_description": step.description,
        "parent_entity_id": playbook_id,
        "smart_code": smart_codes.step_code(codes["industry"], step.step_key, codes["version"]),
        "smart_code_status": "ACTIVE",
        "metadata": {
            "step_number": step.step_number,
            "step_type": step.step_type,
            "worker_type": step.worker_type,
            "required_roles": list[Json](step.required_roles or []),
            "parallel_group": step.parallel_group,
        },
    }


def _related(session: WriteSession, ends: tuple[UUID, UUID], kind: str, codes: _Codes) -> dict[str, Any]:
    source, target = ends
    return {
        "id": uuid5(source, f"{kind}:{target}"),
        "organization_id": session.organization_id,
        "from_entity_id": source,
        "to_entity_id": target,
        "relationship_type": kind,
        "smart_code": smart_codes.build(codes["industry"], "DEF", kind, codes["version"]),
        "smart_code_status": "ACTIVE",
    }


async def _first_version(session: WriteSession, code: str, playbook_id: UUID) -> UUID | None:
    """The version that the code began with, None for that version itself."""
    statement = (
        select(entities.c.id)
        .where(
            entities.c.organization_id == session.organization_id,
            entities.c.entity_type == PLAYBOOK_TYPE,
            entities.c.entity_code == code,
            entities.c.id != playbook_id,
            entities.c.metadata["playbook_version"].as_integer() == 1,
        )
        .limit(1)
    )
    return (await session.connection.execute(statement)).scalar_one_or_none()

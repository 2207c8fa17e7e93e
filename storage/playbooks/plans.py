"""The compiled plan of a published version, beside its document.

Invariant: `get_plan` returns a plan equal to the one given to `store_plan`, so a run that is started at once and one
that the sweeper starts follow the same plan.
"""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID, uuid5

from pydantic import TypeAdapter
from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert

from playbooks.common import smart_codes
from playbooks.common.errors import NotFoundError
from playbooks.common.values import Json
from playbooks.engine.model.plan import Plan
from storage.database.sessions import ReadSession, WriteSession
from storage.database.tables import dynamic_data, relationships
from storage.playbooks.parts import field_values

_PLAN = TypeAdapter(Plan)
_FIELD = "plan"
_DEPENDS = "step_depends_on"


async def store_plan(session: WriteSession, playbook_id: UUID, plan: Plan) -> None:
    """Store the plan of a version, in place of an earlier one, with a relationship for each dependency."""
    value = cast("Json", _PLAN.dump_python(plan, mode="json"))
    values = field_values(session, playbook_id, _FIELD, value, industry=plan.industry, version=plan.version)
    statement = insert(dynamic_data).values(values)
    again = statement.on_conflict_do_update(
        index_elements=["organization_id", "entity_id", "field_name"],
        set_={"field_value_json": statement.excluded.field_value_json},
    )
    await session.connection.execute(again)
    await session.connection.execute(
        delete(relationships).where(
            relationships.c.organization_id == session.organization_id,
            relationships.c.relationship_type == _DEPENDS,
            relationships.c.from_entity_id.in_([step.step_id for step in plan.steps]),
        )
    )
    rows = _dependencies(session, plan)
    if rows:
        await session.connection.execute(insert(relationships), rows)


async def get_plan(session: ReadSession, playbook_id: UUID) -> Plan:
    """The plan that the version was published with. Raises NotFoundError when there is none here."""
    statement = select(dynamic_data.c.field_value_json).where(
        dynamic_data.c.organization_id == session.organization_id,
        dynamic_data.c.entity_id == playbook_id,
        dynamic_data.c.field_name == _FIELD,
    )
    value = (await session.connection.execute(statement)).scalar_one_or_none()
    if value is None:
        raise NotFoundError("the playbook has no plan: it was never published")
    return _PLAN.validate_python(value)


def _dependencies(session: WriteSession, plan: Plan) -> list[dict[str, Any]]:
    by_key = {step.key: step for step in plan.steps}
    return [
        {
            "id": uuid5(step.step_id, f"{_DEPENDS}:{dependency.step}"),
            "organization_id": session.organization_id,
            "from_entity_id": step.step_id,
            "to_entity_id": by_key[dependency.step].step_id,
            "relationship_type": _DEPENDS,
            "relationship_data": {"dependency_type": dependency.kind},
            "smart_code": smart_codes.build(plan.industry, "STEP.DEPENDENCY", step.key, plan.version),
            "smart_code_status": "ACTIVE",
        }
        for step in plan.steps
        for dependency in step.dependencies
    ]

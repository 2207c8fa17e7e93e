"""Labels of a run as lines: `priority:high`, `tag:urgent`, each in a plain column so that filters find them.

Lines `run_label` are numbered from 900,001; the first one is the priority. The label of a concurrency limit stays only
while the run is not finished (`concurrency.release`), so that few lines have it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, update
from sqlalchemy.dialects.postgresql import insert

from playbooks.common import ids, smart_codes
from playbooks.common.values import Priority
from playbooks.engine.model.temporal_messages import RunInput
from storage.database.sessions import WriteSession
from storage.database.tables import lines

LABEL_TYPE = "run_label"
PARENT_LABEL = "parent:"
INCIDENT_LABEL = "incident:open"
_FIRST_LINE = 900_001
_INCIDENT_LINE = 900_500


def priority_label(priority: str) -> str:
    return f"priority:{priority}"


def tag_label(tag: str) -> str:
    return f"tag:{tag}"


def parent_label(execution_id: UUID) -> str:
    """The label of the runs that this one started."""
    return f"{PARENT_LABEL}{execution_id}"


def label_lines(session: WriteSession, start: RunInput, at: datetime) -> list[dict[str, Any]]:
    """The lines of a new run's labels, with the columns of an event's line."""
    execution_id, industry = start.execution_id, start.plan.industry
    labels = [priority_label(start.priority), *(tag_label(tag) for tag in dict.fromkeys(start.tags))]
    if start.parent is not None:
        labels.append(parent_label(start.parent.execution_id))
    if start.slot is not None:
        labels.append(start.slot.label)
    return [
        {
            "id": ids.line_id(execution_id, _FIRST_LINE + index),
            "organization_id": session.organization_id,
            "transaction_id": execution_id,
            "line_number": _FIRST_LINE + index,
            "line_type": LABEL_TYPE,
            "description": label,
            "quantity": 0,
            "smart_code": smart_codes.build(industry, "RUN.LABEL", label.partition(":")[0]),
            "line_data": {},
            "created_at": at,
            "updated_at": at,
            "created_by": None,
        }
        for index, label in enumerate(labels)
    ]


async def set_priority_label(session: WriteSession, execution_id: UUID, priority: Priority) -> None:
    """Set the run's first label to its new priority."""
    statement = (
        update(lines)
        .where(lines.c.organization_id == session.organization_id, lines.c.transaction_id == execution_id)
        .where(lines.c.line_number == _FIRST_LINE, lines.c.line_type == LABEL_TYPE)
        .values(description=priority_label(priority))
    )
    await session.connection.execute(statement)


async def set_incident_label(session: WriteSession, execution_id: UUID, industry: str, *, is_open: bool) -> None:
    """Add or delete the label of runs with a step that waits for an intervention."""
    if not is_open:
        mine = (lines.c.organization_id == session.organization_id) & (lines.c.transaction_id == execution_id)
        await session.connection.execute(delete(lines).where(mine, lines.c.line_number == _INCIDENT_LINE))
        return
    statement = insert(lines).values(
        id=ids.line_id(execution_id, _INCIDENT_LINE),
        organization_id=session.organization_id,
        transaction_id=execution_id,
        line_number=_INCIDENT_LINE,
        line_type=LABEL_TYPE,
        description=INCIDENT_LABEL,
        quantity=0,
        smart_code=smart_codes.build(industry, "RUN.LABEL", "incident"),
        line_data={},
    )
    await session.connection.execute(statement.on_conflict_do_nothing(index_elements=["id"]))

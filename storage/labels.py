"""Labels of a run as lines: `priority:high`, `tag:urgent`, each in a plain column so that filters find them.

Owns lines `run_label`, numbered from 900,001. Invariant: the first one is the priority.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, update
from sqlalchemy.dialects.postgresql import insert

from playbooks import ids, smart_codes
from playbooks.values import Priority
from storage.database import WriteSession
from storage.tables import lines

LABEL_TYPE = "run_label"
INCIDENT_LABEL = "incident:open"
_FIRST_LINE = 900_001
_INCIDENT_LINE = 900_500


def priority_label(priority: str) -> str:
    return f"priority:{priority}"


def tag_label(tag: str) -> str:
    return f"tag:{tag}"


def label_lines(
    session: WriteSession, execution_id: UUID, *, industry: str, priority: Priority, tags: Sequence[str], at: datetime
) -> list[dict[str, Any]]:
    """The lines of a new run's labels: the columns that an event's line has too."""
    labels = [priority_label(priority), *(tag_label(tag) for tag in dict.fromkeys(tags))]
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
    """Let the run's first label name its new priority."""
    statement = (
        update(lines)
        .where(lines.c.organization_id == session.organization_id, lines.c.transaction_id == execution_id)
        .where(lines.c.line_number == _FIRST_LINE, lines.c.line_type == LABEL_TYPE)
        .values(description=priority_label(priority))
    )
    await session.connection.execute(statement)


async def set_incident_label(session: WriteSession, execution_id: UUID, industry: str, *, is_open: bool) -> None:
    """Say that a step of the run waits for somebody to say what becomes of it, or that none does any more."""
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

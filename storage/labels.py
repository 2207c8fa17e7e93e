"""Labels of a run as lines: `priority:high`, `tag:urgent`, each in a plain column so that filters find them.

Owns lines `run_label`, numbered from 900,001. Invariant: the first one is the priority.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import insert, update

from playbooks import ids, smart_codes
from playbooks.values import Priority
from storage.database import WriteSession
from storage.tables import lines

LABEL_TYPE = "run_label"
_FIRST_LINE = 900_001


def priority_label(priority: str) -> str:
    return f"priority:{priority}"


def tag_label(tag: str) -> str:
    return f"tag:{tag}"


async def insert_labels(
    session: WriteSession, execution_id: UUID, industry: str, priority: Priority, tags: Sequence[str]
) -> None:
    """Write the labels of a new run."""
    labels = [priority_label(priority), *(tag_label(tag) for tag in dict.fromkeys(tags))]
    rows = [_values(session, execution_id, industry, _FIRST_LINE + index, text) for index, text in enumerate(labels)]
    await session.connection.execute(insert(lines), rows)


async def set_priority_label(session: WriteSession, execution_id: UUID, priority: Priority) -> None:
    """Let the run's first label name its new priority."""
    statement = (
        update(lines)
        .where(lines.c.organization_id == session.organization_id, lines.c.transaction_id == execution_id)
        .where(lines.c.line_number == _FIRST_LINE, lines.c.line_type == LABEL_TYPE)
        .values(description=priority_label(priority))
    )
    await session.connection.execute(statement)


def _values(session: WriteSession, execution_id: UUID, industry: str, number: int, text: str) -> dict[str, Any]:
    return {
        "id": ids.line_id(execution_id, number),
        "organization_id": session.organization_id,
        "transaction_id": execution_id,
        "line_number": number,
        "line_type": LABEL_TYPE,
        "description": text,
        "quantity": 0,
        "smart_code": smart_codes.build(industry, "RUN.LABEL", text.partition(":")[0]),
    }

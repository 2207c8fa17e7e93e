"""Values too large for Temporal: lines `step_payload` of their run, written by the activity that made the value.

Values are sealed before they come here. Writing the same line again replaces the value, so repeated attempts leave one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from playbooks.common import ids, smart_codes
from playbooks.common.errors import AlreadyExistsError, NotFoundError
from playbooks.common.values import Json, PayloadRef
from storage.database import json_columns
from storage.database.quarantine import refuse_poison
from storage.database.sessions import ReadSession, WriteSession
from storage.database.tables import lines, transactions
from storage.runs.conditions import RUN_TYPE

STORE_OVER_BYTES = 65_536
"""Values larger than this as compact JSON are stored and passed by reference."""


async def store_payload(session: WriteSession, execution_id: UUID, line_number: int, value: Json) -> PayloadRef:
    """Store the (sealed) value as line `line_number` of the run.

    Raises NotFoundError when there is no such run here, ValidationError when the value cannot be stored,
    AlreadyExistsError when the line is another application's.
    """
    refuse_poison("the value", value)
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    ref = PayloadRef(line_number=line_number, size_bytes=len(text), sha256=hashlib.sha256(text).hexdigest())
    industry = await industry_of_run(session, execution_id)
    data = {"value": value, "size_bytes": ref.size_bytes, "sha256": ref.sha256}
    statement = insert(lines).values(
        id=ids.line_id(execution_id, line_number),
        organization_id=session.organization_id,
        transaction_id=execution_id,
        line_number=line_number,
        line_type="step_payload",
        quantity=0,
        smart_code=smart_codes.build(industry, "STEP.PAYLOAD", str(line_number)),
        line_data=data,
    )
    again = statement.on_conflict_do_update(
        index_elements=["transaction_id", "line_number"],
        set_={"line_data": statement.excluded.line_data},
        where=lines.c.line_type == "step_payload",
    )
    if (await session.connection.execute(again.returning(lines.c.id))).first() is None:
        raise AlreadyExistsError(f"line {line_number} of the run is not ours")
    return ref


async def load_payload(session: ReadSession, execution_id: UUID, ref: PayloadRef) -> Json:
    """The (sealed) value behind a reference. Raises NotFoundError when there is no such line."""
    found = await load_payloads(session, execution_id, [ref])
    if ref.line_number not in found:
        raise NotFoundError("the stored value is not there")
    return found[ref.line_number]


async def load_payloads(session: ReadSession, execution_id: UUID, refs: Sequence[PayloadRef]) -> dict[int, Json]:
    """The (sealed) values behind references, by line number; missing ones are left out."""
    if not refs:
        return {}
    statement = (
        select(lines.c.line_number, lines.c.line_data)
        .where(lines.c.organization_id == session.organization_id, lines.c.transaction_id == execution_id)
        .where(lines.c.line_type == "step_payload", lines.c.line_number.in_([ref.line_number for ref in refs]))
    )
    found = (await session.connection.execute(statement)).mappings()
    return {row["line_number"]: json_columns.as_object(row["line_data"]).get("value") for row in found}


async def industry_of_run(session: ReadSession, execution_id: UUID) -> str:
    """The industry in the run's smart code. Raises NotFoundError when there is no such run here."""
    statement = select(transactions.c.smart_code).where(
        transactions.c.organization_id == session.organization_id,
        transactions.c.id == execution_id,
        transactions.c.transaction_type == RUN_TYPE,
    )
    code = (await session.connection.execute(statement)).scalar_one_or_none()
    if code is None:
        raise NotFoundError("there is no such run")
    return industry_of(code)


def industry_of(smart_code: str) -> str:
    """The second segment of any smart code."""
    return smart_code.split(".")[1].upper()

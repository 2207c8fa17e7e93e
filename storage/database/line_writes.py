"""Writes lines of runs, many in one statement.

Writing lines is the service's most frequent work. With a statement for each row, round trips and triggers (those of a
HERA database sum a transaction's lines after every statement) would cost the database more than the rows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.dialects import postgresql

from storage.database.sessions import WriteSession
from storage.database.tables import lines

_DIALECT = postgresql.dialect()  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
_TYPES = {column.name: column.type.compile(_DIALECT) for column in lines.columns}  # pyright: ignore[reportUnknownArgumentType]

_AGAIN = """ON CONFLICT (transaction_id, line_number) DO UPDATE SET
    description = excluded.description, unit_amount = excluded.unit_amount, line_amount = excluded.line_amount,
    ai_confidence = excluded.ai_confidence, line_data = excluded.line_data, version = excluded.version,
    updated_at = excluded.updated_at
WHERE universal_transaction_lines.line_type = 'step_execution'
    AND (CAST(universal_transaction_lines.line_data ->> 'epoch' AS integer), universal_transaction_lines.version)
        < (CAST(excluded.line_data ->> 'epoch' AS integer), excluded.version)"""


async def insert_lines(session: WriteSession, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows that all name the same columns. A number that is taken raises, and nothing is written."""
    await _write(session, rows, "")


async def upsert_step_lines(session: WriteSession, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert step lines; an existing line changes only if it is a step's and (epoch, version) rises."""
    await _write(session, rows, _AGAIN)


async def _write(session: WriteSession, rows: Sequence[Mapping[str, Any]], again: str) -> None:
    if rows:
        statement = _statement(tuple(rows[0]), again)
        await session.connection.execute(statement, {"rows": _to_json(rows)})


@lru_cache(maxsize=32)
def _statement(columns: tuple[str, ...], again: str) -> TextClause:
    names = ", ".join(columns)
    typed = ", ".join(f"{name} {_TYPES[name]}" for name in columns)
    record = f"jsonb_to_recordset(CAST(:rows AS jsonb)) AS given({typed})"
    # The names are those of our own columns; values are one parameter.
    return text(f"INSERT INTO universal_transaction_lines ({names}) SELECT {names} FROM {record} {again}")  # noqa: S608


def _to_json(rows: Sequence[Mapping[str, Any]]) -> str:
    return json.dumps(rows, default=_as_text, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _as_text(value: object) -> str:
    """Ids, amounts and instants as the text that PostgreSQL reads them from; anything else is a bug."""
    if isinstance(value, UUID | Decimal | datetime):
        return str(value)
    raise TypeError(f"a line cannot hold a {type(value).__name__}")

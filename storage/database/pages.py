"""Pages of a list: a bounded count, and cursors that neither repeat nor lose a row while others are written.

A cursor holds the sort value and id of the last row, so the next page starts behind that place; an offset counts rows
and is exact only while the list does not change.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar, cast
from uuid import UUID

from playbooks.common.errors import ValidationError
from playbooks.common.errors import error as problem

MAX_LIMIT = 500
COUNT_LIMIT = 10_000
"""Rows are counted up to here; `total_is_exact` is false for a larger list."""

ItemT = TypeVar("ItemT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[ItemT]):
    """Some rows of a list. `total` is exact below COUNT_LIMIT; beyond, it is COUNT_LIMIT and `total_is_exact` false.

    `by_status` counts what `total` counts, by status, in lists that have one.
    """

    items: tuple[ItemT, ...]
    total: int
    total_is_exact: bool
    limit: int
    offset: int
    has_more: bool
    next_cursor: str | None
    by_status: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """Where a page ended. `order` names the sort, so that a cursor is not used with another; `value` is its text."""

    order: str
    value: str
    id: UUID


def write_cursor(cursor: Cursor) -> str:
    """The cursor as clients carry it: opaque, URL-safe."""
    text = json.dumps([cursor.order, cursor.value, str(cursor.id)], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_cursor(text: str, order: str) -> Cursor:
    """The cursor that a client sent back. Raises ValidationError when it is not one, or of another sort."""
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        parts = cast("object", json.loads(base64.urlsafe_b64decode(padded)))
        if isinstance(parts, list):
            found, value, identity = cast("list[object]", parts)
            if found == order and isinstance(value, str) and "\x00" not in value:
                return Cursor(order=order, value=value, id=UUID(str(identity)))
    except (ValueError, binascii.Error, RecursionError):
        pass
    raise refuse_cursor()


def refuse_cursor() -> ValidationError:
    """The error for a cursor that no page of this list has given."""
    wrong = problem("/cursor", "INVALID_CURSOR", "the cursor is not one of this list in this order")
    return ValidationError("the cursor cannot be used", (wrong,))


def bounded(limit: int) -> int:
    """The limit within 1 and MAX_LIMIT."""
    return max(1, min(limit, MAX_LIMIT))

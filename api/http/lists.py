"""Answers of lists: `pagination`, `total`, `summary`, `filters_applied`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar, cast

from pydantic import BaseModel

from api.http.schemas import Listing, PageQuery, Pagination
from playbooks.common.errors import Problem, ValidationError
from playbooks.common.values import Json, JsonObject
from storage.database.pages import Page

T = TypeVar("T", bound=BaseModel)

_NOT_FILTERS = frozenset({"limit", "offset", "cursor"})


def listing(page: Page[Any], views: Sequence[T], filters: JsonObject, summary: JsonObject | None = None) -> Listing[T]:
    """Return the answer with one page. `views` are those of the page's items, in their order."""
    by_status: dict[str, Json] = {}
    for view in views:
        status = str(getattr(view, "status", None) or getattr(view, "state", ""))
        by_status[status] = cast("int", by_status.get(status, 0)) + 1
    return Listing(
        data=[*views],
        total=page.total,
        pagination=Pagination(
            total=page.total,
            limit=page.limit,
            offset=page.offset,
            has_more=page.has_more,
            next_cursor=page.next_cursor,
        ),
        summary=summary or {"on_this_page": by_status, "total_is_exact": page.total_is_exact},
        filters_applied=filters,
    )


def filters_of(query: BaseModel) -> JsonObject:
    """Return the filters and the order that the client sent."""
    return cast("JsonObject", query.model_dump(mode="json", exclude_unset=True, exclude=set(_NOT_FILTERS)))


def check_page(query: PageQuery) -> None:
    """Raise ValidationError where a cursor and an offset are mixed."""
    if query.cursor is not None and query.offset:
        message = "a cursor and an offset cannot be mixed"
        raise ValidationError(message, (Problem(pointer="/query/offset", code="NOT_ALLOWED", message=message),))

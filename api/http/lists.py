"""Pages as lists are answered: `pagination`, `total`, `summary`, `filters_applied`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar, cast

from pydantic import BaseModel

from api.http.schemas import Listing, Pagination
from playbooks.common.values import Json, JsonObject
from storage.database.pages import Page

T = TypeVar("T", bound=BaseModel)

_NOT_FILTERS = frozenset({"limit", "offset", "cursor"})


def listing(page: Page[Any], views: Sequence[T], filters: JsonObject, summary: JsonObject | None = None) -> Listing[T]:
    """One page as it is answered."""
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
    """The filters and the order that took effect: what the client gave."""
    return cast("JsonObject", query.model_dump(mode="json", exclude_unset=True, exclude=set(_NOT_FILTERS)))

"""Envelopes of all answers, the base of request bodies, and field types that several slices use."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Generic, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from playbooks.common.errors import Problem
from playbooks.common.values import Json, JsonObject

T = TypeVar("T")

MAX_LIMIT = 200
MAX_OFFSET = 1_000_000


def _in_range(value: datetime) -> datetime:
    # The rows hold timestamptz: the extremes of Python's calendar overflow once an offset is applied.
    if not 1900 <= value.year <= 9000:
        raise ValueError("the year lies between 1900 and 9000")
    aware = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    return aware.astimezone(UTC)


Instant = Annotated[datetime, AfterValidator(_in_range)]
"""An ISO 8601 instant; without an offset it is UTC."""


Reason = Annotated[str, StringConstraints(max_length=2000)]
"""Why a person asks for something; it is recorded."""


class RequestModel(BaseModel):
    """A request body or query. An unknown field is refused with its pointer, never ignored."""

    model_config = ConfigDict(extra="forbid")


class Metadata(BaseModel):
    """When the answer was made; some routes add fields."""

    model_config = ConfigDict(extra="allow")

    generated_at: datetime = Field(default_factory=lambda: datetime.now(UTC))


class Success(BaseModel, Generic[T]):
    """An answer with one resource."""

    success: Literal[True] = True
    data: T
    metadata: Metadata = Field(default_factory=Metadata)


class Pagination(BaseModel):
    """Position of the page. `next_cursor` asks for the next page without repeating or losing rows."""

    total: int = Field(examples=[42])
    limit: int = Field(examples=[50])
    offset: int = Field(examples=[0])
    has_more: bool = Field(examples=[False])
    next_cursor: str | None = None


class Listing(BaseModel, Generic[T]):
    """An answer with one page. `filters_applied` holds the filters that were sent."""

    success: Literal[True] = True
    data: list[T]
    total: int = Field(examples=[42])
    pagination: Pagination
    summary: JsonObject = Field(default_factory=dict[str, Json], examples=[{"by_status": {"completed": 40}}])
    filters_applied: JsonObject = Field(default_factory=dict[str, Json])
    metadata: Metadata = Field(default_factory=Metadata)


class ProblemView(BaseModel):
    """One finding about a playbook."""

    pointer: str = Field(examples=["/steps/2/condition"])
    code: str = Field(examples=["UNKNOWN_REFERENCE"])
    message: str
    suggestion: str | None = None


def problem_view(problem: Problem) -> ProblemView:
    """Return a finding as the API shows it."""
    return ProblemView(
        pointer=problem.pointer, code=problem.code, message=problem.message, suggestion=problem.suggestion
    )


class PageQuery(RequestModel):
    """The page to return. `cursor` continues after the page that gave it; it cannot be mixed with `offset`."""

    limit: int = Field(default=50, ge=1, le=MAX_LIMIT)
    offset: int = Field(default=0, ge=0, le=MAX_OFFSET)
    cursor: str | None = Field(default=None, max_length=1000)

"""What routes ask for beside the principal: the process's services, and headers that mean something to us."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, TypeAlias

from fastapi import Depends, Header, Query
from starlette.requests import Request

from api.services import Services
from playbooks.common.errors import NotSupportedError, Problem, ValidationError


async def _services(request: Request) -> Services:
    return request.app.state.services


Opened: TypeAlias = Annotated[Services, Depends(_services)]
IdempotencyKey: TypeAlias = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
        description="Repeating the request with the same key finds what the first one made.",
    ),
]
IfMatch: TypeAlias = Annotated[str | None, Header(max_length=1000, description="The ETag that was read.")]
IfNoneMatch: TypeAlias = Annotated[str | None, Header(max_length=1000, description="The ETag that the client has.")]
Include: TypeAlias = Annotated[
    list[str] | None, Query(max_length=20, description="What to add to the answer; comma-separated or repeated.")
]


def included(values: list[str] | None, *, known: Iterable[str], later: Iterable[str] = ()) -> frozenset[str]:
    """The parts that `include` names. Raises ValidationError, or NotSupportedError for parts that come later."""
    names = {name.strip() for value in values or [] for name in value.split(",") if name.strip()}
    unbuilt = names & set(later)
    if unbuilt:
        problem = Problem(pointer="/query/include", code="NOT_SUPPORTED", message="this part is not built yet")
        raise NotSupportedError(f"include={','.join(sorted(unbuilt))} is not supported yet", (problem,))
    unknown = names - set(known)
    if unknown:
        message = f"it may name {', '.join(sorted(known))}"
        raise ValidationError(message, (Problem(pointer="/query/include", code="NOT_ALLOWED", message=message),))
    return frozenset(names)

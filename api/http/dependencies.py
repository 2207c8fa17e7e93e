"""Headers and query parameters that several routes take."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, TypeAlias

from fastapi import Header, Query

from playbooks.common.errors import NotSupportedError, Problem, ValidationError

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


def included(values: list[str] | None, *, allowed: Iterable[str], later: Iterable[str] = ()) -> frozenset[str]:
    """Return the parts that `include` names. Raises ValidationError, NotSupportedError for those of a later release."""
    names = {name.strip() for value in values or [] for name in value.split(",") if name.strip()}
    unbuilt = names & set(later)
    if unbuilt:
        problem = Problem(pointer="/query/include", code="NOT_SUPPORTED", message="this part is not built yet")
        raise NotSupportedError(f"include={','.join(sorted(unbuilt))} is not supported yet", (problem,))
    unknown = names - set(allowed)
    if unknown:
        message = f"it may name {', '.join(sorted(allowed))}"
        raise ValidationError(message, (Problem(pointer="/query/include", code="NOT_ALLOWED", message=message),))
    return frozenset(names)

"""Entity tags: how a revision travels, and how the two conditional headers are read."""

from __future__ import annotations

from collections.abc import Iterator

from playbooks.common.errors import PreconditionFailedError, PreconditionRequiredError


def etag_of(revision: int | str) -> str:
    """The tag of a revision, quoted as in the header."""
    return f'"{revision}"'


def is_unchanged(if_none_match: str | None, tag: str) -> bool:
    """Whether `If-None-Match` names this tag: the client has it already."""
    return if_none_match is not None and any(each in ("*", tag) for each in _tags(if_none_match))


def check_if_match(if_match: str | None, tag: str) -> None:
    """Raise PreconditionRequiredError without `If-Match`, PreconditionFailedError when it names another revision."""
    if if_match is None:
        raise PreconditionRequiredError("send If-Match with the ETag that you read")
    if not any(each in ("*", tag) for each in _tags(if_match)):
        raise PreconditionFailedError("somebody changed it since you read it; read it again")


def _tags(header: str) -> Iterator[str]:
    # The weak mark is dropped: a proxy that compresses adds it, and our tags name revisions, not bytes.
    return (part.strip().removeprefix("W/") for part in header.split(","))

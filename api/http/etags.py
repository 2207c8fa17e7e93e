"""Entity tags and the two conditional headers (RFC 9110)."""

from __future__ import annotations

from collections.abc import Iterator

from playbooks.common.errors import PreconditionFailedError, PreconditionRequiredError


def etag_of(revision: int | str) -> str:
    """Return the tag of a revision, quoted as in the header."""
    return f'"{revision}"'


class NotModifiedError(Exception):
    """The client has this revision already; answered with 304 and `headers`."""

    def __init__(self, tag: str) -> None:
        super().__init__(tag)
        self.headers = {"ETag": tag}


def is_unchanged(if_none_match: str | None, tag: str) -> bool:
    """Return whether `If-None-Match` names this tag: the client has it already."""
    return if_none_match is not None and any(each in ("*", tag) for each in _tags(if_none_match))


def check_if_none_match(if_none_match: str | None, tag: str) -> None:
    """Raise NotModifiedError where `If-None-Match` names this tag. Call it before anything else is loaded."""
    if is_unchanged(if_none_match, tag):
        raise NotModifiedError(tag)


def check_if_match(if_match: str | None, tag: str) -> None:
    """Raise PreconditionRequiredError without `If-Match`, PreconditionFailedError when it names another revision."""
    if if_match is None:
        raise PreconditionRequiredError("send If-Match with the ETag that you read")
    if not any(each in ("*", tag) for each in _tags(if_match)):
        raise PreconditionFailedError("it has changed since you read it; read it again")


def _tags(header: str) -> Iterator[str]:
    # The weak mark is dropped: a proxy that compresses adds it, and our tags name revisions, not bytes.
    return (part.strip().removeprefix("W/") for part in header.split(","))

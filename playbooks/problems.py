"""Short ways to say what is wrong with a document: an error refuses, a warning only tells."""

from __future__ import annotations

from playbooks.errors import Problem


def error(pointer: str, code: str, message: str, suggestion: str | None = None) -> Problem:
    """A problem that refuses what was sent."""
    return Problem(pointer=pointer, code=code, message=message, suggestion=suggestion)


def warning(pointer: str, code: str, message: str, suggestion: str | None = None) -> Problem:
    """A problem that comes back with the answer and refuses nothing."""
    return Problem(pointer=pointer, code=code, message=message, suggestion=suggestion, severity="warning")

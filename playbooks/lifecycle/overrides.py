"""Overrides: warnings that a publisher accepts, so that strict publication does not refuse them.

An error cannot be overridden, and an override that covers nothing is refused as a mistake.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from playbooks.common.errors import Problem, ValidationError
from playbooks.common.errors import error as problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """A warning by its code; without a pointer every warning of that code."""

    code: str
    pointer: str | None = None
    reason: str | None = None


def covers(override: Override, found: Problem) -> bool:
    """Return true if the override names this finding."""
    return override.code == found.code and override.pointer in (None, found.pointer)


def refuse_unfit(overrides: Sequence[Override], found: Sequence[Problem]) -> None:
    """Raise ValidationError for each override that names an error, or none of the findings.

    Where there are errors, not all warnings are known yet: an override of none of them may still be right.
    """
    problems = [
        problem(f"/validation_overrides/{index}", *unfit)
        for index, override in enumerate(overrides)
        if (unfit := _unfit(override, found)) is not None
    ]
    if problems:
        raise ValidationError(problems[0].message, problems)


def overridden(overrides: Sequence[Override], warnings: Sequence[Problem]) -> tuple[tuple[Problem, Override], ...]:
    """Return each covered warning with the first override that covers it."""
    pairs = ((each, next((one for one in overrides if covers(one, each)), None)) for each in warnings)
    return tuple((each, override) for each, override in pairs if override is not None)


def uncovered(overrides: Sequence[Override], warnings: Sequence[Problem]) -> tuple[Problem, ...]:
    """Return the warnings that no override names."""
    return tuple(each for each in warnings if not any(covers(override, each) for override in overrides))


def _unfit(override: Override, found: Sequence[Problem]) -> tuple[str, str] | None:
    named = [each for each in found if covers(override, each)]
    if not named and not any(each.severity == "error" for each in found):
        return "NOT_FOUND", f"publishing has no such finding as '{override.code}' there"
    if any(each.severity == "error" for each in named):
        return "NOT_ALLOWED", f"'{override.code}' is an error, and only warnings can be overridden"
    return None

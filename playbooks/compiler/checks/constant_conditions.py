"""Conditions that decide nothing: they can never hold, or always do.

Owns what is said of them. Must not know how outcomes are found. A rule of a handler that always holds is no problem:
rules often repeat what a contract says, to give their reasons. Nor is a loop that always goes on: it has its bound.
"""

from __future__ import annotations

from collections.abc import Iterator

from playbooks.common.errors import Problem, error, warning
from playbooks.compiler.checks.expression_places import Place

_CALLED = {"rule": "rule", "loop": "condition of the loop"}


def problems(place: Place) -> Iterator[Problem]:
    """Whether a condition's outcome is known before any run."""
    if place.role in ("mapping", "list") or place.typed.known.only is None:
        return
    holds = place.typed.known.only[0]
    if place.role in ("rule", "loop"):
        if holds is False:
            message = f"the {_CALLED[place.role]} can never hold: the contracts rule it out"
            yield warning(place.pointer, "RULE_NEVER_TRUE", message)
    elif holds is True:
        message = "the condition always holds where it can be decided: it keeps nothing away"
        yield warning(place.pointer, "CONDITION_ALWAYS_TRUE", message, "leave it out, or compare with something else")
    else:
        message = "the step can never run: its condition cannot hold for any value that the contracts allow"
        yield error(place.pointer, "UNREACHABLE_STEP", message, "compare it with the contracts it reads from")

"""Conditions that decide nothing: they can never hold, or always do.

A rule of a handler that always holds is no problem: rules often repeat a contract, to give their reasons. Nor is a loop
that always continues: it has its bound.
"""

from __future__ import annotations

from collections.abc import Iterator

from playbooks.common.errors import Problem, error, warning
from playbooks.compiler.checks.expression_sites import ExpressionSite

_DESCRIPTIONS = {"rule": "rule", "loop": "condition of the loop"}


def problems(site: ExpressionSite) -> Iterator[Problem]:
    """Yield the problem of a condition whose outcome is known before any run."""
    if site.role in ("mapping", "list") or site.inferred.type.only is None:
        return
    holds = site.inferred.type.only[0]
    if site.role in ("rule", "loop"):
        if holds is False:
            message = f"the {_DESCRIPTIONS[site.role]} can never hold: the contracts rule it out"
            yield warning(site.pointer, "RULE_NEVER_TRUE", message)
    elif holds is True:
        message = "the condition always holds where it can be decided: it keeps nothing away"
        yield warning(site.pointer, "CONDITION_ALWAYS_TRUE", message, "leave it out, or compare with something else")
    else:
        message = "the step can never run: its condition cannot hold for any value that the contracts allow"
        yield error(site.pointer, "UNREACHABLE_STEP", message, "compare it with the contracts it reads from")

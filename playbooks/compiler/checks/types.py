"""Mismatches of types in expressions: errors only where no value that the contracts allow would work."""

from __future__ import annotations

from collections.abc import Iterator

from playbooks.common.errors import Problem, error, warning
from playbooks.compiler.checks.expression_sites import ExpressionSite
from playbooks.inference.value_types import describe

_DOUBLE = "write double(...) around both"


def problems(site: ExpressionSite) -> Iterator[Problem]:
    """Yield what in an expression does not fit the contracts."""
    for pointer, mismatch in site.inferred.mismatches:
        if mismatch.is_certain:
            yield error(pointer, "TYPE_MISMATCH", mismatch.message)
        else:
            yield warning(pointer, "NUMBERS_MAY_NOT_MIX", mismatch.message, _DOUBLE)
    found = site.inferred.type
    if site.role == "list":
        if "list" not in found.kinds:
            yield error(site.pointer, "TYPE_MISMATCH", f"for_each needs a list, and this gives {describe(found)}")
    elif site.role != "mapping" and "bool" not in found.kinds:
        message = f"a condition has to be true or false, and this is {describe(found)}"
        yield error(site.pointer, "CONDITION_NOT_BOOLEAN", message, "compare it with something")

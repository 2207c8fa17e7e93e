"""Types of expressions, checked against contracts.

Owns what is said of a mismatch. Must not know how types are found. Invariant: an error is told only where no value
that the contracts allow would work.
"""

from __future__ import annotations

from collections.abc import Iterator

from playbooks.common.errors import Problem, error, warning
from playbooks.compiler.checks.expression_places import Place
from playbooks.inference.value_types import in_words

_DOUBLE = "write double(...) around both"


def problems(place: Place) -> Iterator[Problem]:
    """What in a place does not fit the contracts."""
    for pointer, mismatch in place.typed.mismatches:
        if mismatch.is_certain:
            yield error(pointer, "TYPE_MISMATCH", mismatch.message)
        else:
            yield warning(pointer, "NUMBERS_MAY_NOT_MIX", mismatch.message, _DOUBLE)
    known = place.typed.known
    if place.role == "list":
        if "list" not in known.kinds:
            yield error(place.pointer, "TYPE_MISMATCH", f"for_each needs a list, and this gives {in_words(known)}")
    elif place.role != "mapping" and "bool" not in known.kinds:
        message = f"a condition has to be true or false, and this is {in_words(known)}"
        yield error(place.pointer, "CONDITION_NOT_BOOLEAN", message, "compare it with something")

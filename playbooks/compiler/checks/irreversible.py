"""Irreversible steps before an approval, which comes too late to prevent them."""

from __future__ import annotations

from collections.abc import Iterator

from playbooks.common.errors import Problem, warning
from playbooks.compiler.order import StepOrder


def problems(order: StepOrder) -> Iterator[Problem]:
    """Yield a warning for each irreversible step that an approval follows."""
    for item in order.located:
        if item.step.side_effects != "irreversible":
            continue
        people = (other for other in order.located if other.step.step_type == "human")
        after = [other for other in people if item.key in order.upstream[other.key]]
        if after:
            message = f"this cannot be undone, and people decide '{after[0].key}' only afterwards"
            hint = f"let it depend on '{after[0].key}'"
            yield warning(f"{item.pointer}/side_effects", "IRREVERSIBLE_BEFORE_APPROVAL", message, hint)

"""Keeps values that PostgreSQL cannot hold from blocking the rows around them.

Edges refuse such values; what still comes through (a worker's output, a model's text) is quarantined by column here, so
that the rest of a flush is stored and the trail says what is missing. Must not know tables.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from playbooks.common.errors import ValidationError
from playbooks.common.json_values import check_value
from playbooks.common.values import Json, JsonObject

QUARANTINED = "$quarantined"


@dataclass(slots=True)
class Quarantine:
    """Collects what one write had to leave out. `found` becomes events of the run."""

    found: list[JsonObject] = field(default_factory=list[JsonObject])

    def take(self, column: str, value: Json, *, step: str | None = None) -> Json:
        """The value, or a marker `{"$quarantined": code}` in its place when it cannot be stored."""
        problems = check_value(value)
        if not problems:
            return value
        code = problems[0].code
        self.found.append({"column": column, "code": code, "pointer": problems[0].pointer, "step": step})
        return {QUARANTINED: code}

    def take_text(self, column: str, text: str | None, *, step: str | None = None) -> str | None:
        """The text, or a marker in its place when it cannot be stored."""
        taken = self.take(column, text, step=step)
        return taken if taken is None or isinstance(taken, str) else f"[{QUARANTINED}]"

    def take_amount(self, column: str, amount: Decimal, below: Decimal, *, step: str | None = None) -> Decimal | None:
        """The amount, or None where its column cannot hold it: not finite, negative, or not below `below`."""
        if amount.is_finite() and 0 <= amount < below:
            return amount
        self.found.append({"column": column, "code": "INVALID_NUMBER", "pointer": "", "step": step})
        return None


def refuse_poison(what: str, value: Json, pointer: str = "") -> None:
    """Raise ValidationError when the value cannot be stored; for writes whose sender can still be told."""
    problems = check_value(value, pointer)
    if problems:
        raise ValidationError(f"{what} holds something that cannot be stored", problems)

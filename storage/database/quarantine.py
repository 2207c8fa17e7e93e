"""Keeps values that PostgreSQL cannot hold from blocking the rows around them.

Such values are refused where they come in; those that still get here (a worker's output, a model's text) are left out
by column, so that the rest of a flush is stored, and the trail records what is missing.
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
    """Collects the values that one write left out. `found` becomes events of the run."""

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
    """Raise ValidationError when the value cannot be stored; for writes whose sender gets the answer."""
    problems = check_value(value, pointer)
    if problems:
        raise ValidationError(f"{what} holds something that cannot be stored", problems)

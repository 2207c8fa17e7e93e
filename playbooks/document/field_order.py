"""A document in the order in which people read it: the database keeps its fields in an order of its own.

Owns that order, which is the format's. Must not change anything else. Invariant: the value stays the same.
"""

from __future__ import annotations

from collections.abc import Iterable

from playbooks.common.values import JsonObject
from playbooks.document.model import PlaybookDocument, StepDocument


def in_reading_order(document: JsonObject) -> JsonObject:
    """The document with its own fields and those of its steps in the format's order; others stand behind them."""
    ordered = _ordered(document, PlaybookDocument.model_fields)
    steps = ordered.get("steps")
    if isinstance(steps, list):
        named = StepDocument.model_fields
        ordered["steps"] = [_ordered(step, named) if isinstance(step, dict) else step for step in steps]
    return ordered


def _ordered(value: JsonObject, names: Iterable[str]) -> JsonObject:
    known = {name: value[name] for name in names if name in value}
    return {**known, **value}

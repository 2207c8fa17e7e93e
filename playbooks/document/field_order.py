"""Field order of a document for readers: the database stores JSON fields in an order of its own."""

from __future__ import annotations

from collections.abc import Iterable

from playbooks.common.values import JsonObject
from playbooks.document.model import PlaybookDocument, StepDocument


def in_reading_order(document: JsonObject) -> JsonObject:
    """Sort the fields of the document and its steps in the format's order; unknown fields come last."""
    ordered = _ordered(document, PlaybookDocument.model_fields)
    steps = ordered.get("steps")
    if isinstance(steps, list):
        named = StepDocument.model_fields
        ordered["steps"] = [_ordered(step, named) if isinstance(step, dict) else step for step in steps]
    return ordered


def _ordered(value: JsonObject, names: Iterable[str]) -> JsonObject:
    known = {name: value[name] for name in names if name in value}
    return {**known, **value}

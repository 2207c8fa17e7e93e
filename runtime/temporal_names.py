"""Names in Temporal on which several processes must agree."""

from __future__ import annotations

SEARCH_ATTRIBUTES: tuple[str, ...] = (
    "PlaybookCode",
    "OrganizationId",
    "RunStatus",
    "RunPriority",
    "CurrentStep",
    "InitiatedBy",
)
"""Search attributes of a run, each of type Keyword. Never secret: they are not encrypted."""

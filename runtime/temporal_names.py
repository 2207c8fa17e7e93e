"""Names that we put into Temporal and that more than one process must agree on."""

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

"""Descriptions of handlers that installed packages add (entry-point group `playbook.workers`).

Owns finding them, so that publishing can check steps that use them. Must not run them: that is the workers' part.
"""

from __future__ import annotations

from importlib.metadata import entry_points

import structlog

from playbooks.document.handler_catalog import HandlerDescription

GROUP = "playbook.workers"


def installed_handlers() -> dict[str, HandlerDescription]:
    """By name. A package that cannot be loaded is logged and left out: its steps then cannot be published."""
    found: dict[str, HandlerDescription] = {}
    for entry in entry_points(group=GROUP):
        try:
            description = getattr(entry.load(), "description", None)
        except Exception:
            structlog.get_logger("api").exception("handler_package_cannot_be_loaded", entry_point=entry.name)
            continue
        if isinstance(description, HandlerDescription):
            found[description.name] = description
    return found

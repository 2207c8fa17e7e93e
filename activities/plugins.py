"""Handlers of installed packages: the entry-point group `playbook.workers`.

Owns finding them and refusing what is not a handler. Must not run anything of theirs. Invariant: a package adds
handlers, it never replaces one; a package that cannot be loaded stops the worker instead of losing steps silently.
"""

from __future__ import annotations

from importlib.metadata import entry_points

from activities.handler import Handler
from playbooks.document.handler_catalog import BUILT_IN, HandlerDescription
from playbooks.engine.model.activity_names import ActivityName

GROUP = "playbook.workers"
_RESERVED_NAMES = frozenset(ActivityName)


class WorkerPackageError(Exception):
    """An entry point that names no usable handler. The text names the entry point."""


def installed_handlers() -> dict[str, Handler]:
    """The handlers of installed packages by name. Raises WorkerPackageError."""
    found: dict[str, Handler] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        try:
            loaded: object = point.load()
        # Whatever a package's import raises is its own; say which package it was.
        except Exception as error:
            raise WorkerPackageError(f"the worker '{point.name}' cannot be loaded") from error
        handler: object = loaded() if isinstance(loaded, type) else loaded
        description: object = getattr(handler, "description", None)
        if not isinstance(handler, Handler) or not isinstance(description, HandlerDescription):
            raise WorkerPackageError(f"the worker '{point.name}' has no `description` or no `run`")
        name = description.name
        if name in BUILT_IN or name in found or name in _RESERVED_NAMES:
            raise WorkerPackageError(f"the worker '{point.name}' takes the name '{name}', which is taken")
        found[name] = handler
    return found

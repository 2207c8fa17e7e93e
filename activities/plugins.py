"""Handlers of installed packages: the entry-point group `playbook.workers`.

Invariant: a package adds handlers and never replaces one; a package that cannot be loaded stops the worker instead of
losing steps silently.
"""

from __future__ import annotations

from activities.handler import Handler
from playbooks.document.handler_catalog import BUILT_IN
from playbooks.engine.model.activity_names import ActivityName
from runtime.worker_packages import WorkerPackageError, load_worker, worker_entry_points

_RESERVED_NAMES = frozenset(ActivityName)


def installed_handlers() -> dict[str, Handler]:
    """Return the handlers of installed packages by name. Raises WorkerPackageError."""
    found: dict[str, Handler] = {}
    for point in worker_entry_points():
        handler, description = load_worker(point)
        if not isinstance(handler, Handler):
            raise WorkerPackageError(f"the worker '{point.name}' has no `run`")
        name = description.name
        if name in BUILT_IN or name in found or name in _RESERVED_NAMES:
            raise WorkerPackageError(f"the worker '{point.name}' takes the name '{name}', which is taken")
        found[name] = handler
    return found

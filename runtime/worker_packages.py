"""Workers of installed packages: the entry-point group `playbook.workers`.

The API and `validate` need the descriptions only; the worker process, which runs the handlers, takes them from
`activities.plugins`.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

import structlog

from playbooks.document.handler_catalog import HandlerDescription

GROUP = "playbook.workers"


class WorkerPackageError(Exception):
    """An entry point that names no usable handler. The text names the entry point."""


def worker_entry_points() -> list[EntryPoint]:
    """Return the entry points of installed worker packages, by name."""
    return sorted(entry_points(group=GROUP), key=lambda point: point.name)


def load_worker(point: EntryPoint) -> tuple[object, HandlerDescription]:
    """Import the handler that an entry point names (made, if it is a class). Raises WorkerPackageError."""
    try:
        loaded: object = point.load()
        handler: object = loaded() if isinstance(loaded, type) else loaded
    # An import may raise anything; the error names the package.
    except Exception as error:
        raise WorkerPackageError(f"the worker '{point.name}' cannot be loaded") from error
    description: object = getattr(handler, "description", None)
    if not isinstance(description, HandlerDescription):
        raise WorkerPackageError(f"the worker '{point.name}' has no `description`")
    return handler, description


def installed_descriptions() -> dict[str, HandlerDescription]:
    """Return the descriptions by handler name.

    A package that cannot be loaded is logged and left out: steps that use it cannot be published.
    """
    found: dict[str, HandlerDescription] = {}
    for point in worker_entry_points():
        try:
            _, description = load_worker(point)
        except WorkerPackageError:
            structlog.get_logger("runtime").exception("worker_package_not_loaded", entry_point=point.name)
            continue
        found[description.name] = description
    return found

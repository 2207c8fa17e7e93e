"""A cache of the lists of loops, so that a stored list is read once and not once per item.

Invariant: the key has organization, run and the value's hash, so no run reads a list of another.
"""

from __future__ import annotations

from collections import OrderedDict
from uuid import UUID

from playbooks.common.values import Json, PayloadRef

_KEPT = 8


class ListCache:
    """The lists used last, for one process and one event loop. Callers must not change a list."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[UUID, UUID, str], Json] = OrderedDict()

    def get(self, organization: UUID, run: UUID, reference: PayloadRef) -> Json:
        """Return the list, or None."""
        key = (organization, run, reference.sha256)
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def put(self, organization: UUID, run: UUID, reference: PayloadRef, value: Json) -> None:
        self._kept[organization, run, reference.sha256] = value
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)

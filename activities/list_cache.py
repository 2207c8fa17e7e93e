"""Lists that items of a loop take their values from, kept in the process: each is read once, not once an item.

Owns what is kept and for how long. Invariant: the key has the organization, the run and the value's hash, so what one
run stored is never another's.
"""

from __future__ import annotations

from collections import OrderedDict
from uuid import UUID

from playbooks.common.values import Json, PayloadRef

_KEPT = 8


class LoadedLists:
    """The lists used last. One for each process; used from one event loop. What it gives out must not be changed."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[UUID, UUID, str], Json] = OrderedDict()

    def find(self, organization: UUID, run: UUID, reference: PayloadRef) -> Json:
        """The list, or None where it is not kept."""
        key = (organization, run, reference.sha256)
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def keep(self, organization: UUID, run: UUID, reference: PayloadRef, value: Json) -> None:
        self._kept[organization, run, reference.sha256] = value
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)

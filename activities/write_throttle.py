"""Limits how often one worker writes the rows of one run during effects."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Final
from uuid import UUID

from playbooks.engine.projection import FLUSH_INTERVAL

WRITE_EVERY: Final = FLUSH_INTERVAL.total_seconds()
"""Seconds between two writes of one run by one worker."""

_KEPT_RUNS: Final = 10_000


class WriteThrottle:
    """When this process last wrote the rows of each run; those of an unknown run were just written by the API."""

    def __init__(self) -> None:
        self._written: OrderedDict[UUID, float] = OrderedDict()

    def seconds_until_due(self, run: UUID) -> float:
        """Return the seconds until the run's rows may be written."""
        if run not in self._written:
            self.note_write(run)
        return max(0.0, self._written[run] + WRITE_EVERY - time.monotonic())

    def note_write(self, run: UUID) -> None:
        self._written[run] = time.monotonic()
        self._written.move_to_end(run)
        if len(self._written) > _KEPT_RUNS:
            self._written.popitem(last=False)

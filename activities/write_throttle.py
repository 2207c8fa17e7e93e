"""Limits how often one worker writes the rows of one run during effects."""

from __future__ import annotations

import time
from typing import Final
from uuid import UUID

from playbooks.engine.projection import FLUSH_INTERVAL
from runtime.lru_cache import LruCache

WRITE_EVERY: Final = FLUSH_INTERVAL.total_seconds()
"""Seconds between two writes of one run by one worker."""

_KEPT_RUNS: Final = 10_000


class WriteThrottle:
    """When this process last wrote the rows of each run; those of an unknown run were just written by the API."""

    def __init__(self) -> None:
        self._written = LruCache[UUID, float](_KEPT_RUNS)

    def seconds_until_due(self, run: UUID) -> float:
        """Return the seconds until the run's rows may be written."""
        written = self._written.get(run)
        if written is None:
            self.note_write(run)
            return WRITE_EVERY
        return max(0.0, written + WRITE_EVERY - time.monotonic())

    def note_write(self, run: UUID) -> None:
        self._written.put(run, time.monotonic())

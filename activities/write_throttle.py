"""How often one worker writes the rows of one run on the way of its effects."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Final
from uuid import UUID

WRITE_EVERY: Final = 0.5
"""Seconds between two writes of one run by one worker."""

_KEPT_RUNS: Final = 10_000


class Pace:
    """When this process last wrote the rows of each run; the API has just written those of an unknown one."""

    def __init__(self) -> None:
        self._written: OrderedDict[UUID, float] = OrderedDict()

    def wait(self, run: UUID) -> float:
        """Seconds until the run's rows are due."""
        if run not in self._written:
            self.wrote(run)
        return max(0.0, self._written[run] + WRITE_EVERY - time.monotonic())

    def wrote(self, run: UUID) -> None:
        self._written[run] = time.monotonic()
        self._written.move_to_end(run)
        if len(self._written) > _KEPT_RUNS:
            self._written.popitem(last=False)

"""What came to a run from outside the lane, in an order that every replay sees again.

A workflow task can end while a local activity is outstanding: a query is answered, a heartbeat is due. The run then
hears of a message or an effect before it hears of the local activity; a replay may hear of them together, or the other
way round, because the history has the local activity's result where it was recorded. So nothing that arrives is
looked at before the lane rests, and what arrives at once is ordered here: results and timers, then messages.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable
from typing import TypeAlias

from temporalio import workflow

Arrival: TypeAlias = Callable[[], None]
"""Tells the shell what came."""


class Arrivals:
    """A queue of what waits for the lane to rest."""

    def __init__(self) -> None:
        self._waiting: list[tuple[tuple[int, bool], Arrival]] = []

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def put(self, arrival: Arrival, *, is_message: bool) -> None:
        """Queue it behind what came with an earlier workflow task, and messages behind all else of the same one."""
        came_with = workflow.info().get_current_history_length()
        insort(self._waiting, ((came_with, is_message), arrival), key=lambda item: item[0])

    def take(self) -> Arrival:
        return self._waiting.pop(0)[1]

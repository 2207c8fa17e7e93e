"""The deterministic inbox: what a run receives from outside the lane, in an order that every replay repeats.

A workflow task can end while a local activity is outstanding: a query is answered, a heartbeat is due. The run then
receives a message or an effect's result before the local activity's result; a replay may receive them together, or in
the other order, because the history has the local activity's result where it was recorded. So no delivery is handled
before the lane rests, and deliveries of one moment are ordered here: results and timers, then messages.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable
from typing import TypeAlias

from temporalio import workflow

Delivery: TypeAlias = Callable[[], None]
"""Hands one received event to the shell."""


class Inbox:
    """Queue of deliveries that wait for the lane to rest."""

    def __init__(self) -> None:
        self._waiting: list[tuple[tuple[int, bool], Delivery]] = []

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def put(self, delivery: Delivery, *, is_message: bool) -> None:
        """Queue a delivery behind those of earlier workflow tasks; within one task, messages come last."""
        came_with = workflow.info().get_current_history_length()
        insort(self._waiting, ((came_with, is_message), delivery), key=lambda item: item[0])

    def take(self) -> Delivery:
        return self._waiting.pop(0)[1]

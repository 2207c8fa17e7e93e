"""What the rows know of a run, and what is on its way to them.

Two ways lead there. A flush is an activity of its own, which is repeated until the rows have what it carries. An effect
may carry the same on its way: its activity writes it when it is due, and says so in its outcome; what it does not write
is carried by whatever comes next. Owns which of the two, and when. Never looks at the clock: a replay may see another
time, and the flush would move in the history.
"""

from __future__ import annotations

from playbooks.engine.model.plan import Plan
from playbooks.engine.model.state import RunState
from playbooks.engine.model.temporal_messages import FlushCall
from playbooks.engine.projection import flush_of

CARRIED_STEPS = 10
"""An effect carries at most so many steps that changed: the history keeps each copy."""


class Rows:
    """One run's rows, as its workflow knows them."""

    def __init__(self, plan: Plan, state: RunState, temporal_run_id: str) -> None:
        self._plan = plan
        self._temporal_run_id = temporal_run_id
        self._known_seq = state.seq
        self._carried: FlushCall | None = None
        self.is_flushing = False
        self.is_timed = False
        self.is_due = False

    def lack(self, state: RunState) -> bool:
        """Whether the history has something that the rows do not have."""
        return state.seq > self._known_seq

    def wait_for_nothing(self, state: RunState) -> bool:
        """Whether something is neither in the rows nor on its way to them."""
        on_its_way = self._carried.seq if self._carried else self._known_seq
        return not self.is_flushing and state.seq > on_its_way

    def for_flush(self, state: RunState) -> FlushCall:
        """All that the rows lack, for an activity of its own. The outbox is empty from now on."""
        self.is_flushing = True
        return self._all_new(state)

    def for_effect(self, state: RunState) -> FlushCall | None:
        """All that the rows lack, where an effect may carry it: nothing else is on its way, and it is not too much."""
        if self.is_flushing or self.is_due or self._carried is not None or not self.lack(state):
            return None
        call = self._all_new(state)
        if len(call.steps) > CARRIED_STEPS:
            return None
        self._carried = call
        return call

    def has_flushed(self, call: FlushCall) -> None:
        self.is_flushing = False
        self._known_seq = max(self._known_seq, call.seq)

    def has_been_carried(self, call: FlushCall, *, is_written: bool) -> None:
        self._carried = None
        if is_written:
            self._known_seq = max(self._known_seq, call.seq)

    def _all_new(self, state: RunState) -> FlushCall:
        return flush_of(self._plan, state, flushed_seq=self._known_seq, temporal_run_id=self._temporal_run_id)

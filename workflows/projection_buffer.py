"""Changes of a run that its rows do not have yet.

They are written in two ways. A flush is an activity of its own, which is repeated until the rows have its content. An
effect may carry a flush: its activity writes it when it is due and reports that in its outcome; what it does not write
comes with the next flush. This module never reads the clock: a replay may see another time, and the flush would move in
the history.
"""

from __future__ import annotations

from playbooks.engine.model.plan import Plan
from playbooks.engine.model.state import RunState
from playbooks.engine.model.temporal_messages import FlushCall
from playbooks.engine.projection import flush_of

MAX_PIGGYBACKED_STEPS = 10
"""Maximum number of changed steps that an effect carries: the history keeps each copy."""


class ProjectionBuffer:
    """State of one run's projection, as its workflow knows it."""

    def __init__(self, plan: Plan, state: RunState, temporal_run_id: str) -> None:
        self._plan = plan
        self._temporal_run_id = temporal_run_id
        self._confirmed_seq = state.seq
        self._piggybacked: FlushCall | None = None
        self.is_flushing = False
        self.flush_timer_running = False
        self.flush_due = False

    def is_behind(self, state: RunState) -> bool:
        """Return true if the history has changes that the rows do not have."""
        return state.seq > self._confirmed_seq

    def has_unsent_changes(self, state: RunState) -> bool:
        """Return true if there are changes that are neither in the rows nor being written."""
        sent_seq = self._piggybacked.seq if self._piggybacked else self._confirmed_seq
        return not self.is_flushing and state.seq > sent_seq

    def take_for_flush(self, state: RunState) -> FlushCall:
        """Return all missing changes for a flush activity. The caller empties the outbox."""
        self.is_flushing = True
        return self._all_new(state)

    def take_for_effect(self, state: RunState) -> FlushCall | None:
        """Return all missing changes for an effect to carry; None if a flush is in flight or they are too many."""
        if self.is_flushing or self.flush_due or self._piggybacked is not None or not self.is_behind(state):
            return None
        call = self._all_new(state)
        if len(call.steps) > MAX_PIGGYBACKED_STEPS:
            return None
        self._piggybacked = call
        return call

    def confirm_flush(self, call: FlushCall) -> None:
        self.is_flushing = False
        self._confirmed_seq = max(self._confirmed_seq, call.seq)

    def confirm_piggyback(self, call: FlushCall, *, is_written: bool) -> None:
        self._piggybacked = None
        if is_written:
            self._confirmed_seq = max(self._confirmed_seq, call.seq)

    def _all_new(self, state: RunState) -> FlushCall:
        return flush_of(self._plan, state, flushed_seq=self._confirmed_seq, temporal_run_id=self._temporal_run_id)

"""A run's turn among those of its key: it asks before its first step, and again when it is told or has waited a while.

Must not know who holds what: that stands in the rows. Protects: nothing begins before the turn has come.
"""

from __future__ import annotations

from datetime import timedelta

from playbooks.engine.model.commands import TakeSlot
from playbooks.engine.rules.draft import Draft

ASK_EVERY = timedelta(seconds=30)
"""How long a run waits at most before it asks by itself; usually it is told."""


def begin(draft: Draft) -> None:
    """Ask for the first time, where the run has to."""
    if draft.state.slot is not None:
        draft.command(TakeSlot(is_first=True))


def on_answered(draft: Draft, *, is_free: bool) -> None:
    """Whether the turn has come."""
    asked = draft.state.slot
    if asked not in ("asking", "asking_again"):
        return
    if is_free:
        draft.set_internal(slot=None, has_slot_news=False)
        if asked == "asking_again":
            draft.record("slot_taken")
        return
    if asked == "asking":
        draft.set_visible(slot="waiting")
        draft.record("slot_awaited")
    else:
        draft.set_internal(slot="waiting")
    if draft.state.has_slot_news:
        draft.set_internal(has_slot_news=False)
        _ask_again(draft)
    else:
        draft.start_timer("concurrency", draft.at + ASK_EVERY, "waits for its turn")


def on_told(draft: Draft) -> bool:
    """Somebody says that the turn may have come; false where the run does not wait for it."""
    if draft.state.slot == "waiting":
        draft.stop_timer("concurrency")
        _ask_again(draft)
    elif draft.state.slot is not None:
        draft.set_internal(has_slot_news=True)
    return draft.state.slot is not None


def on_waited(draft: Draft) -> None:
    """The run has waited long enough to ask by itself."""
    if draft.state.slot == "waiting":
        _ask_again(draft)


def _ask_again(draft: Draft) -> None:
    draft.set_internal(slot="asking_again")
    draft.command(TakeSlot(is_first=False))

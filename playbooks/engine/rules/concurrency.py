"""A run's place under the concurrency limit of its key: nothing begins before it is acquired.

The run asks for it before its first step, and again when it is notified or has waited a while. Which runs hold the
limit stands in the rows.
"""

from __future__ import annotations

from datetime import timedelta

from playbooks.engine.model.commands import AcquireConcurrency
from playbooks.engine.rules.draft import Draft

ASK_EVERY = timedelta(seconds=30)
"""How long a run waits at most before it asks again by itself; usually it is notified."""


def begin(draft: Draft) -> None:
    """Ask for the first time, where the run has a limit."""
    if draft.state.concurrency is not None:
        draft.command(AcquireConcurrency(is_first=True))


def on_reported(draft: Draft, *, is_acquired: bool) -> None:
    """The rows were asked. A notification that came meanwhile may be newer than their answer."""
    before = draft.state.concurrency
    if before not in ("acquiring", "acquiring_again"):
        return
    if is_acquired:
        draft.set_internal(concurrency=None, concurrency_notified=False)
        if before == "acquiring_again":
            draft.record("concurrency_acquired")
        return
    if before == "acquiring":
        draft.set_visible(concurrency="waiting")
        draft.record("concurrency_awaited")
    else:
        draft.set_internal(concurrency="waiting")
    if draft.state.concurrency_notified:
        draft.set_internal(concurrency_notified=False)
        _ask_again(draft)
    else:
        draft.start_timer("concurrency", draft.at + ASK_EVERY, "waits for other runs of its key")


def on_notified(draft: Draft) -> bool:
    """A run of the key has ended; false where this run does not wait for that."""
    if draft.state.concurrency == "waiting":
        draft.stop_timer("concurrency")
        _ask_again(draft)
    elif draft.state.concurrency is not None:
        draft.set_internal(concurrency_notified=True)
    return draft.state.concurrency is not None


def on_waited(draft: Draft) -> None:
    """The run has waited long enough to ask by itself."""
    if draft.state.concurrency == "waiting":
        _ask_again(draft)


def _ask_again(draft: Draft) -> None:
    draft.set_internal(concurrency="acquiring_again")
    draft.command(AcquireConcurrency(is_first=False))

"""Scheduled transitions, and the check that they are consistent.

One rule: applied in their order to the version's present status, each of them has to be possible. A transition is
accepted only if this holds at that moment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from playbooks.common.errors import InvalidTransitionError
from playbooks.common.errors import error as problem
from playbooks.lifecycle.transitions import Action, PlaybookStatus, is_possible, next_status


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A transition that is scheduled for `at`."""

    id: UUID
    action: Action
    at: datetime


def first_impossible(status: PlaybookStatus, planned: Sequence[Planned]) -> Planned | None:
    """Return the first of these, in the order of their times, that would not be possible when it is due."""
    for each in sorted(planned, key=lambda one: one.at):
        if not is_possible(status, each.action):
            return each
        status = next_status(status, each.action)
    return None


def status_at(status: PlaybookStatus, planned: Sequence[Planned], at: datetime) -> PlaybookStatus:
    """Return the status at a time, if all transitions planned before it take place."""
    for each in sorted(planned, key=lambda one: one.at):
        if each.at < at and is_possible(status, each.action):
            status = next_status(status, each.action)
    return status


def refuse_contradiction(status: PlaybookStatus, planned: Sequence[Planned], new: Planned) -> None:
    """Raise InvalidTransitionError where `new` contradicts the transitions that are already planned."""
    if any(each.at == new.at for each in planned):
        raise _refusal("another transition is scheduled for the same instant", "/effective_date")
    broken = first_impossible(status, [*planned, new])
    if broken is None:
        return
    if broken.id == new.id:
        by_then = status_at(status, planned, new.at)
        raise _refusal(f"'{new.action}' is not possible then: by that time the playbook is {by_then}", "/action")
    raise _refusal(_cancel_first(broken), "/action")


def refuse_overtaking(to_status: PlaybookStatus, planned: Sequence[Planned]) -> None:
    """Raise InvalidTransitionError where a transition that takes place now makes a planned one impossible.

    Deletion is final and cancels all planned transitions, so it contradicts none.
    """
    broken = None if to_status == "deleted" else first_impossible(to_status, planned)
    if broken is not None:
        raise _refusal(_cancel_first(broken), "/action")


def refuse_gap(status: PlaybookStatus, planned: Sequence[Planned], cancelled: UUID) -> None:
    """Raise InvalidTransitionError where cancelling one transition makes a later one impossible."""
    if first_impossible(status, planned) is not None:
        return
    broken = first_impossible(status, [each for each in planned if each.id != cancelled])
    if broken is not None:
        raise _refusal(_cancel_first(broken), "")


def _cancel_first(broken: Planned) -> str:
    at = broken.at.isoformat()
    return f"the '{broken.action}' that is scheduled for {at} would not be possible any more; cancel it first"


def _refusal(text: str, pointer: str) -> InvalidTransitionError:
    return InvalidTransitionError(text, (problem(pointer, "INVALID_STATE_TRANSITION", text),))

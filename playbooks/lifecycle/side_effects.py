"""Side effects of a transition, listed for its caller.

A transition of one version never changes another version, and runs are started by a version's id. Both are stated in
the list, because users of other systems expect the opposite.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from typing import Literal, TypeAlias
from uuid import UUID

from playbooks.lifecycle.transitions import Action

EffectKind: TypeAlias = Literal[
    "new_runs_allowed",
    "new_runs_refused",
    "version_stays_active",
    "no_active_version",
    "live_runs_finish",
    "live_runs_cancelled",
    "schedule_withdrawn",
    "warnings_overridden",
    "notification_recorded",
]


@dataclass(frozen=True, slots=True)
class SideEffect:
    """One side effect; which fields are set depends on the kind."""

    kind: EffectKind
    message: str
    _: KW_ONLY
    count: int | None = None
    version: int | None = None
    playbook_id: UUID | None = None
    transition_id: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TransitionFacts:
    """Facts known when a transition takes place. `others` are the other active versions of the code."""

    action: Action
    version: int
    others: tuple[tuple[UUID, int], ...] = ()
    live_runs: int = 0
    withdrawn: tuple[tuple[UUID, Action], ...] = ()
    overridden: int = 0
    notifies: bool = False


def side_effects(facts: TransitionFacts) -> tuple[SideEffect, ...]:
    """Return the side effects of a transition, the most important first."""
    return (*_on_starts(facts), *_on_versions(facts), *_on_runs(facts), *_on_records(facts))


def _on_starts(facts: TransitionFacts) -> Iterator[SideEffect]:
    number = facts.version
    if facts.action in ("publish", "reactivate"):
        yield SideEffect("new_runs_allowed", f"version {number} can be run, by its own id", version=number)
    elif facts.action in ("deprecate", "archive"):
        message = f"no new run of version {number} can be started"
        yield SideEffect("new_runs_refused", message, version=number)


def _on_versions(facts: TransitionFacts) -> Iterator[SideEffect]:
    for playbook_id, number in facts.others:
        message = f"version {number} stays active; whoever starts runs by its id goes on with version {number}"
        yield SideEffect("version_stays_active", message, version=number, playbook_id=playbook_id)
    if facts.action in ("deprecate", "archive") and not facts.others:
        yield SideEffect("no_active_version", "no version of this playbook is active")


def _on_runs(facts: TransitionFacts) -> Iterator[SideEffect]:
    count, number = facts.live_runs, facts.version
    if not count:
        return
    if facts.action == "archive":
        message = f"{count} runs of version {number} are cancelled"
        yield SideEffect("live_runs_cancelled", message, count=count, version=number)
    elif facts.action == "deprecate":
        message = f"{count} runs of version {number} go on to their end"
        yield SideEffect("live_runs_finish", message, count=count, version=number)


def _on_records(facts: TransitionFacts) -> Iterator[SideEffect]:
    for identity, action in facts.withdrawn:
        message = f"the scheduled '{action}' is withdrawn"
        yield SideEffect("schedule_withdrawn", message, transition_id=identity)
    if facts.overridden:
        message = f"{facts.overridden} warnings are overridden, and recorded with who did it"
        yield SideEffect("warnings_overridden", message, count=facts.overridden)
    if facts.notifies:
        yield SideEffect("notification_recorded", "a notification is recorded, to be delivered")

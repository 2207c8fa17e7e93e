"""Result of a simulation, as data. Sensitive values are not redacted here; the API's views do that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from playbooks.common.errors import Problem
from playbooks.common.values import JsonObject
from playbooks.engine.model.plan import Plan
from playbooks.engine.model.state import AuditEvent, RunState, StepState
from playbooks.simulation.interventions import SentMessage
from playbooks.simulation.people import Decision
from playbooks.simulation.workers import Source

Ending: TypeAlias = Literal["completed", "failed", "cancelled", "waiting", "paused", "stopped"]
"""How the simulation ended. `waiting`: for people or a message that were not given; `paused`: a person has to resume;
`stopped`: a bound of simulations was reached, which runs may not have."""

VisitKey: TypeAlias = tuple[str, int]
"""Step key and visit number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One visit of a step. `values` are what its conditions read by path; `source` is where its output came from."""

    step: StepState
    values: JsonObject
    source: Source | None = None

    @property
    def has_begun(self) -> bool:
        """Return true if the step began: one that was skipped, or cancelled before it was due, did not."""
        return self.step.started_at is not None and self.step.status != "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A person or message that the run waits for. `roles` are those of the open task, () where none is open."""

    kind: Literal["decision", "resume", "step"]
    reason: str
    step: str | None = None
    roles: tuple[str, ...] = ()
    approvals_required: int = 0
    approvals_received: int = 0
    due_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulated:
    """A simulation. `visits` are in the order in which their steps began, were skipped or cancelled; `state.outbox`
    is empty, its entries are `events`. `events_received` is the number of events that the machine received."""

    plan: Plan
    ending: Ending
    state: RunState
    visits: Mapping[VisitKey, Visit]
    events: tuple[AuditEvent, ...]
    decisions: tuple[Decision, ...]
    messages: tuple[SentMessage, ...]
    waiting: tuple[Waiting, ...]
    problems: tuple[Problem, ...]
    started_at: datetime
    ended_at: datetime
    events_received: int

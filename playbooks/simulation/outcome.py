"""What a simulation came to: data only, for whoever shows it.

Values are as a run would hold them; hiding sensitive ones is for who shows them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from playbooks.common.errors import Problem
from playbooks.common.values import JsonObject
from playbooks.engine.model.plan import Plan
from playbooks.engine.model.state import AuditEvent, RunState, StepState
from playbooks.simulation.interventions import Said
from playbooks.simulation.people import Decision
from playbooks.simulation.workers import Source

Ending: TypeAlias = Literal["completed", "failed", "cancelled", "waiting", "paused", "stopped"]
"""How far the simulation came. `waiting`: for people or a message that nobody gave; `paused`: somebody has to resume;
`stopped`: a bound of simulation was reached, which a run may not have."""

VisitKey: TypeAlias = tuple[str, int]
"""A step's key and the number of the visit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One visit of a step. `values` are what its conditions read by path; `source` says what made its output."""

    step: StepState
    values: JsonObject
    source: Source | None = None

    @property
    def has_begun(self) -> bool:
        """Whether the step began: one that was skipped, or cancelled before its turn, did not."""
        return self.step.started_at is not None and self.step.status != "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Somebody who has to act before the run can go on. `roles` are those of the open task, () where none is open."""

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
    is empty, its entries are `events`. `heard` counts what the machine was told."""

    plan: Plan
    ending: Ending
    state: RunState
    visits: Mapping[VisitKey, Visit]
    events: tuple[AuditEvent, ...]
    decisions: tuple[Decision, ...]
    messages: tuple[Said, ...]
    waiting: tuple[Waiting, ...]
    problems: tuple[Problem, ...]
    started_at: datetime
    ended_at: datetime
    heard: int

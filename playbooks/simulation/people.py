"""Simulated people: given decisions, and automatic approvals where the simulation allows them.

The machine decides about eligibility, separation of duties and quorum. Every decision gets a verdict, which is
reported.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from playbooks.common import ids
from playbooks.common.values import Actor, JsonObject, Verdict
from playbooks.engine.model.control_messages import Choice, ControlMessage, Decide
from playbooks.engine.model.plan import PlanStep
from playbooks.engine.model.state import TaskState
from playbooks.engine.model.step_ref import StepRef
from playbooks.simulation.given import Given, GivenVote
from playbooks.simulation.workers import Workers


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A person's decision in a simulation, with the run's verdict. `is_given`: it was in the request."""

    step: str
    at: datetime
    actor: Actor
    choice: Choice
    comment: str | None
    data: JsonObject | None
    is_given: bool
    verdict: Verdict | None = None


@dataclass(slots=True)
class People:
    """People of one simulation."""

    organization_id: UUID
    given: Given
    workers: Workers
    used: Counter[str] = field(default_factory=Counter[str])
    _approvals: Counter[str] = field(default_factory=Counter[str])

    def next_decision(self, key: str, step: PlanStep, task: TaskState, now: datetime) -> Decision | None:
        """Return the next decision on the open task of `key`, and when it comes; None where there is none."""
        name = StepRef.parse(step.key).key
        given = self.given.votes.get(name, ())
        if self.used[name] < len(given):
            vote, is_given = given[self.used[name]], True
            self.used[name] += 1
        elif self.given.approves_alone:
            vote, is_given = GivenVote(choice="approve"), False
        else:
            return None
        data = vote.data
        if data is None and vote.choice == "approve" and not task.is_review:
            data = self.workers.form_of(step.key)
            if data is None and not is_given:
                return None
        return Decision(
            step=key,
            at=max(now, task.opened_at + _delay(step, task, vote)),
            actor=self._actor(step, task, vote),
            choice=vote.choice,
            comment=vote.comment,
            data=data,
            is_given=is_given,
        )

    def _actor(self, step: PlanStep, task: TaskState, vote: GivenVote) -> Actor:
        """Return the decider. One whom the request does not name is new each time, so separation of duties holds."""
        name = vote.by
        if name is None:
            self._approvals[step.key] += 1
            name = f"simulated {step.key} {self._approvals[step.key]}"
        roles = task.roles if vote.roles is None else vote.roles
        return Actor(id=ids.actor_id(self.organization_id, name), name=name, roles=roles)


def message_of(decision: Decision) -> ControlMessage:
    """Return the control message with the decision."""
    action = Decide(step=decision.step, decision=decision.choice, comment=decision.comment, data=decision.data)
    return ControlMessage(action=action)


def _delay(step: PlanStep, task: TaskState, vote: GivenVote) -> timedelta:
    """Return the delay from the task's opening: as given, else the estimate, bounded by the task's window."""
    if vote.after is not None:
        return vote.after
    estimate = timedelta(minutes=step.estimated_minutes or 0.0)
    return estimate if task.due_at is None else min(estimate, task.due_at - task.opened_at)

"""Messages to a simulated run from outside: signals, cancels, interventions in steps.

The machine decides about them, and an output that a message carries is checked as a worker checks it. Every message
gets a verdict, which is reported.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from playbooks.common import ids
from playbooks.common.actors import asserted_actor
from playbooks.common.errors import InputError, Problem
from playbooks.common.values import Actor, JsonObject, Verdict
from playbooks.engine.model.control_messages import Action, ControlMessage
from playbooks.engine.model.temporal_messages import CheckCall, OutcomeOfCheck
from playbooks.evaluation import steps
from playbooks.simulation.given import GivenMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class SentMessage:
    """A message in a simulation, with the run's verdict."""

    action: Action
    at: datetime
    actor: Actor
    verdict: Verdict | None = None


def actor_of(message: GivenMessage, organization_id: UUID) -> Actor:
    """Return the sender; an anonymous one where the message names nobody."""
    name = message.by or "somebody"
    return Actor(id=ids.actor_id(organization_id, name), name=name, roles=message.roles)


def message_of(sent: SentMessage) -> ControlMessage:
    """Return the control message that the run receives."""
    actor: JsonObject = {"sub": sent.actor.name, "roles": [*sent.actor.roles]}
    return ControlMessage(action=sent.action, actor=actor)


def check(version: steps.Version, call: CheckCall, actor: Actor | None, at: datetime) -> OutcomeOfCheck:
    """Check a message as in a run, except for its sender, who is trusted in a simulation."""
    actor = actor or asserted_actor(call.organization_id, None)
    try:
        steps.check_message(call.message)
        steps.check_content(version, call, at)
    except InputError as error:
        errors = tuple(_as_json(problem) for problem in error.problems)
        return OutcomeOfCheck(actor=actor, code=error.code, detail=error.detail, errors=errors)
    return OutcomeOfCheck(actor=actor)


def _as_json(problem: Problem) -> JsonObject:
    return {"pointer": problem.pointer, "code": problem.code, "message": problem.message}

"""Identifies the sender of a control message and validates its form, which needs keys and contracts.

The machine decides whether the sender may do it. Invariant: for a verb of people the actor comes from a signature or a
ticket, except where the operator trusts Temporal's clients, and then the actor is marked as asserted.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from activities.dependencies import ActivityDependencies
from activities.failures import timed_total
from activities.versions import load_version
from playbooks.common.actors import actor_from_json, asserted_actor
from playbooks.common.errors import (
    AccessError,
    InputError,
    NotEligibleError,
    Problem,
    UnauthorizedError,
    ValidationError,
)
from playbooks.common.ids import actor_id, system_actor_id, task_id, workflow_id
from playbooks.common.values import Actor, JsonObject
from playbooks.engine.model.control_messages import PersonAction
from playbooks.engine.model.temporal_messages import CheckCall, OutcomeOfCheck
from playbooks.evaluation.steps import check_content, check_message
from runtime.signed_messages import read_ticket, verify

_MAX_SUBJECT = 200


async def check(deps: ActivityDependencies, call: CheckCall) -> OutcomeOfCheck:
    """Return the sender of `call.message`, or the code and pointers with which it has to be refused.

    Codes: UNAUTHORIZED (a signature that does not verify), NOT_ELIGIBLE (no identity for a verb of people, or a
    ticket for something else), VALIDATION_ERROR, CONTRACT_VALIDATION_FAILED. Raises ServiceUnavailableError only
    while the database is needed for a cold version and away; a repeat changes nothing.
    """
    return await timed_total(
        _check(deps, call),
        lambda error: OutcomeOfCheck(code=error.code, detail="the message could not be checked"),
    )


async def _check(deps: ActivityDependencies, call: CheckCall) -> OutcomeOfCheck:
    actor: Actor | None = None
    try:
        check_message(call.message)
        actor = _identify(deps, call)
        if call.checks_form or call.checks_output or call.signal_steps:
            version = await load_version(deps, call.organization_id, call.playbook_id)
            check_content(version, call, datetime.now(UTC))
        return OutcomeOfCheck(actor=actor)
    except (AccessError, InputError) as error:
        errors = tuple(_as_json(problem) for problem in error.problems)
        return OutcomeOfCheck(actor=actor, code=error.code, detail=error.detail, errors=errors)


def _as_json(problem: Problem) -> JsonObject:
    return {"pointer": problem.pointer, "code": problem.code, "message": problem.message}


def _identify(deps: ActivityDependencies, call: CheckCall) -> Actor:
    message = call.message
    if message.signature is not None:
        return _signer(deps, call)
    if message.ticket is not None:
        return _ticket_holder(deps, call, message.ticket)
    if isinstance(message.action, PersonAction) or call.needs_person:
        if not deps.settings.trust_temporal or message.actor is None:
            raise NotEligibleError(f"'{message.verb}' needs a ticket that says who acts")
        subject = message.actor.get("sub")
        if not isinstance(subject, str) or not 0 < len(subject) <= _MAX_SUBJECT:
            problem = Problem(pointer="/actor/sub", code="VALIDATION_ERROR", message="has to be a short text")
            raise ValidationError("the message does not say who acts", [problem])
    # Control verbs are open to Temporal's clients; their identity is recorded as asserted.
    return asserted_actor(call.organization_id, message.actor)


def _signer(deps: ActivityDependencies, call: CheckCall) -> Actor:
    bound_to = workflow_id(call.organization_id, call.execution_id)
    actor = actor_from_json(call.message.actor or {}, via="api")
    if actor is not None and actor.id == system_actor_id(call.organization_id):
        actor = replace(actor, via="system")
    if actor is None or not verify(call.message, deps.settings.signing_keys, bound_to):
        raise UnauthorizedError("the signature of this message does not hold")
    return actor


def _ticket_holder(deps: ActivityDependencies, call: CheckCall, ticket: str) -> Actor:
    claims = read_ticket(ticket, deps.settings.signing_keys)
    if (claims.organization_id, claims.execution_id) != (call.organization_id, call.execution_id):
        raise NotEligibleError("the ticket is for another run")
    expected = call.task_id
    if expected is None and call.step is not None:
        expected = task_id(call.execution_id, call.step, visit=1)
    if (isinstance(call.message.action, PersonAction) or call.needs_person) and claims.task_id != expected:
        raise NotEligibleError("the ticket is for another task")
    identity = actor_id(call.organization_id, claims.subject)
    return Actor(id=identity, name=claims.name, roles=claims.roles, via="ticket")

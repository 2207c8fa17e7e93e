"""Sender of a message, on every path, and validation of the form."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from activities.message_checks import check
from playbooks.common.actors import actor_to_json
from playbooks.common.ids import actor_id, task_id, workflow_id
from playbooks.common.values import Actor
from playbooks.engine.model.control_messages import CancelRun, Claim, ControlMessage, Decide, Pause, Release, Resume
from playbooks.engine.model.temporal_messages import CheckCall, OutcomeOfCheck
from runtime.signed_messages import issue_ticket, sign
from storage.database.sessions import Database
from tests.activities.world import World, make_world

APPROVE = Decide(step="vote", decision="approve")
PERSON = Actor(id=UUID(int=3), name="Vera", roles=("member",))
FORM = {
    "type": "object",
    "required": ["score"],
    "properties": {"score": {"type": "number", "maximum": 100}, "tags": {"type": "array", "items": {"type": "string"}}},
}


@pytest.fixture
async def world(database: Database, organization_id: UUID) -> World:
    return await make_world(database, organization_id, [vote_step()])


def vote_step() -> dict[str, Any]:
    return {
        "name": "Vote",
        "step_number": 1,
        "step_type": "human",
        "worker_type": "voter",
        "required_roles": ["member"],
        "output_contract": FORM,
    }


def decision(data: Any = None, **fields: Any) -> ControlMessage:
    return ControlMessage(action=APPROVE if data is None else replace(APPROVE, data=data), **fields)


def signed(world: World, message: ControlMessage) -> ControlMessage:
    named = replace(message, actor=actor_to_json(PERSON))
    return sign(named, world.deps.settings.signing_key, workflow_id(world.organization_id, world.execution_id))


def ticket(world: World, **fields: Any) -> str:
    claims: dict[str, Any] = {
        "task_id": task_id(world.execution_id, "vote", 1),
        "execution_id": world.execution_id,
        "organization_id": world.organization_id,
        "actor": PERSON,
    }
    return issue_ticket(world.deps.settings.signing_key, **{**claims, **fields})


def trusting(world: World) -> World:
    settings = world.deps.settings.model_copy(update={"trust_temporal": True})
    return replace(world, deps=replace(world.deps, settings=settings))


async def ask(world: World, message: ControlMessage, *, checks_form: bool = False, **fields: Any) -> OutcomeOfCheck:
    known: dict[str, Any] = {"step": "vote", "task_id": task_id(world.execution_id, "vote", 1)}
    call = CheckCall(
        organization_id=world.organization_id,
        execution_id=world.execution_id,
        playbook_id=world.playbook_id,
        message=message,
        checks_form=checks_form,
        **{**known, **fields},
    )
    return await check(world.deps, call)


def refused(outcome: OutcomeOfCheck, code: str) -> None:
    """Assert a refusal without an actor, so that the machine cannot act for one."""
    assert (outcome.actor, outcome.code) == (None, code)


async def test_sender_is_the_signer_when_the_signature_holds(world: World) -> None:
    outcome = await ask(world, signed(world, decision()))
    assert outcome.actor == replace(PERSON, via="api")
    assert outcome.code is None


async def test_message_is_refused_when_it_was_changed_after_signing(world: World) -> None:
    honest = signed(world, decision())
    other_run = replace(world, execution_id=uuid4())
    other_organization = replace(world, organization_id=uuid4())
    forged = [
        replace(honest, action=replace(APPROVE, decision="reject")),
        replace(honest, actor={**(honest.actor or {}), "roles": ["admin"]}),
        replace(honest, actor=None),
        replace(honest, actor={"sub": "vera"}),
        replace(honest, action=Claim(step="vote")),
        replace(honest, signature="0" * 64),
        replace(honest, signature="é"),
        replace(honest, signature=""),
        signed(other_run, decision()),
        signed(other_organization, decision()),
    ]
    for message in forged:
        refused(await ask(trusting(world), message), "UNAUTHORIZED")


async def test_signature_decides_for_control_verbs_too_when_there_is_one(world: World) -> None:
    honest = signed(world, ControlMessage(action=Pause(reason="lunch")))
    assert (await ask(world, honest, step=None, task_id=None)).actor == replace(PERSON, via="api")
    refused(await ask(world, replace(honest, action=Resume(reason="lunch")), step=None, task_id=None), "UNAUTHORIZED")


async def test_sender_is_the_holder_when_the_ticket_is_for_this_task(world: World) -> None:
    expected = replace(PERSON, via="ticket")
    assert (await ask(world, decision(ticket=ticket(world)))).actor == expected
    assert (await ask(world, decision(ticket=ticket(world)), task_id=None)).actor == expected


async def test_ticket_is_refused_when_it_is_for_something_else(world: World) -> None:
    key = world.deps.settings.signing_key
    assert key
    wrong = [
        ticket(world, task_id=uuid4()),
        ticket(world, execution_id=uuid4()),
        ticket(world, organization_id=uuid4()),
        ticket(world, lifetime=timedelta(seconds=-5)),
        ticket(world)[:-2] + "xx",
        "",
        "not.a.ticket",
        "é",
    ]
    for text in wrong:
        refused(await ask(trusting(world), decision(ticket=text, actor={"sub": "vera"})), "NOT_ELIGIBLE")
    refused(await ask(world, decision(ticket=ticket(world)), step=None, task_id=None), "NOT_ELIGIBLE")


async def test_asserted_person_is_refused_when_temporal_is_not_trusted(world: World) -> None:
    for action in (APPROVE, Claim(step="vote"), Release(step="vote")):
        refused(await ask(world, ControlMessage(action=action, actor={"sub": "vera"})), "NOT_ELIGIBLE")
        refused(await ask(trusting(world), ControlMessage(action=action)), "NOT_ELIGIBLE")


async def test_asserted_person_acts_when_temporal_is_trusted(world: World) -> None:
    outcome = await ask(trusting(world), decision(actor={"sub": "vera", "roles": ["member", 7]}))
    assert outcome.actor == Actor(
        id=actor_id(world.organization_id, "vera"), name="vera", roles=("member",), via="temporal"
    )


@pytest.mark.parametrize("actor", [{}, {"sub": ""}, {"sub": 7}, {"name": "x"}, {"sub": "x" * 1000}, {"sub": ["a"]}])
async def test_asserted_person_is_refused_without_a_name(world: World, actor: dict[str, Any]) -> None:
    outcome = await ask(trusting(world), decision(actor=actor))
    refused(outcome, "VALIDATION_ERROR")
    assert outcome.errors[0]["pointer"] == "/actor/sub"


async def test_control_is_recorded_as_asserted_when_a_temporal_client_sends_it(world: World) -> None:
    for action in (Pause(), Resume(), CancelRun()):
        olga = ControlMessage(action=action, actor={"sub": "olga", "name": "Olga"})
        named = await ask(world, olga, step=None, task_id=None)
        assert named.actor is not None
        assert (named.actor.name, named.actor.via) == ("Olga", "temporal")
        unnamed = await ask(world, ControlMessage(action=action), step=None, task_id=None)
        assert unnamed.actor is not None
        assert unnamed.actor.via == "temporal"


async def test_form_is_checked_when_it_matters(world: World) -> None:
    fine = await ask(world, signed(world, decision({"score": 90})), checks_form=True)
    assert (fine.code, fine.errors) == (None, ())
    wrong = await ask(world, signed(world, decision({"score": 101, "tags": ["a", 1]})), checks_form=True)
    assert wrong.code == "CONTRACT_VALIDATION_FAILED"
    assert wrong.actor == replace(PERSON, via="api"), "the machine needs to know who sent a wrong form"
    assert sorted(str(error["pointer"]) for error in wrong.errors) == ["/data/score", "/data/tags/1"]
    missing = await ask(world, signed(world, decision()), checks_form=True)
    assert [error["pointer"] for error in missing.errors] == ["/data/score"]
    assert (await ask(world, signed(world, decision({"score": 101})))).code is None


@pytest.mark.parametrize("text", ["a\x00b", "\ud83d"])
async def test_message_is_refused_when_it_cannot_be_stored(world: World, text: str) -> None:
    comment = ControlMessage(action=replace(APPROVE, comment=text))
    outcome = await ask(world, signed(world, comment))
    refused(outcome, "VALIDATION_ERROR")
    assert outcome.errors[0]["pointer"] == "/comment"
    refused(await ask(trusting(world), decision(actor={"sub": text})), "VALIDATION_ERROR")


async def test_message_is_refused_when_it_cannot_be_checked(world: World) -> None:
    refused(await ask(world, signed(world, decision({})), checks_form=True, step="nosuch"), "INTERNAL_ERROR")

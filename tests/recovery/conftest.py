"""Rows of runs that were accepted and not started."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import pytest

from playbooks.compiler import compile_playbook
from playbooks.document import read_document
from playbooks.messages import RunInput
from playbooks.plan import Plan
from playbooks.values import Actor
from runtime.settings import Settings
from storage import playbooks, runs
from storage.database import Database
from storage.sensitive import Sealer
from tests.api.callers import document

ANNA = Actor(id=UUID(int=7), name="Anna")
Accept = Callable[[UUID], Awaitable[RunInput]]


async def accept_into(database: Database, settings: Settings, organization_id: UUID, *more_steps: Any) -> RunInput:
    """Insert a published playbook and a queued run of it, as the API does before it starts the workflow.

    `more_steps` come after its own two.
    """
    whole = document()
    written, playbook_id = read_document({**whole, "steps": [*whole["steps"], *more_steps]}), uuid4()
    plan = compile_playbook(written, playbook_id=playbook_id, version=1).plan
    assert isinstance(plan, Plan)
    run_input = RunInput(
        organization_id=organization_id,
        execution_id=uuid4(),
        plan=plan,
        initiator=ANNA,
        input={"amount": 5, "iban": "DE00"},
        tags=("urgent",),
        priority="high",
    )
    async with database.writing(organization_id) as session:
        await playbooks.insert_version(session, playbook_id=playbook_id, document=written, version=1, actor=ANNA)
        await playbooks.store_plan(session, playbook_id, plan)
        await runs.insert_run(session, runs.NewRun(input=run_input), Sealer(settings.key_ring))
    return run_input


@pytest.fixture
def accept(database: Database, settings: Settings) -> Accept:
    """`accept_into` the database that all tests share."""
    return lambda organization_id: accept_into(database, settings, organization_id)

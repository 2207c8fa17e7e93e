"""The world in which activities are tested: the real database, one playbook version, and calls to its steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID, uuid4

from temporalio.client import Client

from activities.dependencies import ActivityDependencies
from playbooks.common.ids import effect_key
from playbooks.common.values import Actor, JsonObject
from playbooks.compiler.compile import compile_playbook
from playbooks.document.handler_catalog import HandlerDescription
from playbooks.document.model import PlaybookDocument, read_document
from playbooks.engine.model.plan import Plan
from playbooks.engine.model.temporal_messages import RunInput, StepCall
from runtime.keys import KeyRing
from runtime.settings import Settings
from storage.database.sealing import Sealer
from storage.database.sessions import Database
from storage.playbooks import plans, transitions
from storage.playbooks import versions as playbook_versions
from storage.playbooks.cache import VersionCache
from storage.runs import admission
from storage.runs.admission import NewRun

KEYS = "first:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


@dataclass
class World:
    """One organization with one playbook version in the cache, and a run of it that exists where `run` was stored."""

    deps: ActivityDependencies
    organization_id: UUID
    playbook_id: UUID
    execution_id: UUID
    document: PlaybookDocument
    plan: Plan

    def call(self, step: str, context: JsonObject | None = None, **fields: Any) -> StepCall:
        """A first attempt at a step."""
        values: dict[str, Any] = {
            "organization_id": self.organization_id,
            "execution_id": self.execution_id,
            "playbook_id": self.playbook_id,
            "step": step,
            "visit": 1,
            "attempt": 1,
            "effect_key": effect_key(self.execution_id, step, 1),
            "context": context or {},
        }
        return StepCall(**{**values, **fields})


def step(name: str, number: int, worker_type: str, **fields: Any) -> dict[str, Any]:
    """A step of a document; a system step unless `fields` change it."""
    return {"name": name, "step_number": number, "step_type": "system", "worker_type": worker_type, **fields}


def compiled(
    steps: list[dict[str, Any]], playbook_id: UUID, handlers: Mapping[str, HandlerDescription] | None, **fields: Any
) -> tuple[PlaybookDocument, Plan]:
    """The document with these steps and its plan."""
    head = {"name": "Test", "code": f"test-{playbook_id.hex[:12]}", "industry": "TESTING"}
    whole: Any = {**head, "steps": steps, **fields}
    document = read_document(whole)
    result = compile_playbook(document, playbook_id=playbook_id, version=1, handlers=handlers)
    assert result.plan is not None, result.problems
    return document, result.plan


ACTOR = Actor(id=UUID(int=7), name="Ada", roles=("author",))


async def make_world(
    database: Database,
    organization_id: UUID,
    steps: list[dict[str, Any]],
    *,
    settings: dict[str, Any] | None = None,
    is_cached: bool = True,
    handlers: Mapping[str, HandlerDescription] | None = None,
    **fields: Any,
) -> World:
    """A published version and a queued run of it, stored for real. `is_cached`: no database is needed for it."""
    playbook_id, execution_id = uuid4(), uuid4()
    document, plan = compiled(steps, playbook_id, handlers=handlers, **fields)
    sealer, versions = Sealer(KeyRing.parse(KEYS)), VersionCache()
    async with database.writing(organization_id) as session:
        row = await playbook_versions.insert_version(
            session, playbook_id=playbook_id, document=document, version=1, actor=ACTOR
        )
        await plans.store_plan(session, playbook_id, plan)
        await transitions.transition(session, row, transitions.TransitionRequest(action="publish", actor=ACTOR))
    start = RunInput(organization_id=organization_id, execution_id=execution_id, plan=plan, initiator=ACTOR, input={})
    async with database.writing(organization_id) as session:
        await admission.insert_run(session, NewRun(input=start), sealer)
    if is_cached:
        async with database.reading(organization_id) as session:
            await versions.get(session, playbook_id)
    deps = ActivityDependencies(
        database=database,
        settings=Settings.model_validate({"encryption_keys": KEYS, "egress_allow": "127.0.0.0/8", **(settings or {})}),
        sealer=sealer,
        versions=versions,
        client=cast("Client", None),
    )
    return World(deps, organization_id, playbook_id, execution_id, document, plan)

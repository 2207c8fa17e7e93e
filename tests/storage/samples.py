"""A small playbook with its plan, and runs of it in any state: made by hand, so that nothing else is tested here."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, cast
from uuid import UUID, uuid4

from playbooks.common import ids, smart_codes
from playbooks.common.values import Actor, Json, JsonObject
from playbooks.document.model import PlaybookDocument, read_document
from playbooks.engine.model.audit import AuditKind
from playbooks.engine.model.plan import ApprovalPlan, Dependency, Plan, PlanStep
from playbooks.engine.model.state import Attempt, AuditEvent, StepState
from playbooks.engine.model.temporal_messages import FlushCall, RunInput, RunProjection
from runtime.keys import KeyRing
from storage.database.sealing import Sealer
from storage.database.sessions import Database
from storage.playbooks.plans import store_plan
from storage.playbooks.transitions import TransitionRequest, transition
from storage.playbooks.versions import insert_version
from storage.runs.admission import InsertedRun, NewRun, insert_run
from tests.support.servers import ENCRYPTION_KEYS

SEALER = Sealer(KeyRing.parse(ENCRYPTION_KEYS))
T0 = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
ANNA = Actor(id=UUID(int=1), name="Anna", roles=("clerk",))
BEN = Actor(id=UUID(int=2), name="Ben", roles=("clerk", "boss"))


def document(code: str = "small", **changes: Any) -> PlaybookDocument:
    """Two steps: a person registers, a rule checks."""
    whole: JsonObject = {
        "name": "Small playbook",
        "code": code,
        "industry": "TESTING",
        "module": "TESTS",
        "description": "Two steps.",
        "input_contract": {"type": "object", "properties": {"secret": {"type": "string", "x-sensitive": True}}},
        "policies": {"timeout_minutes": 60},
        "steps": [
            {
                "name": "Register",
                "step_number": 1,
                "step_type": "human",
                "worker_type": "clerk",
                "description": "Look at it.",
                "required_roles": ["clerk"],
                "output_contract": {"type": "object", "properties": {"pin": {"type": "string", "x-sensitive": True}}},
            },
            {"name": "Check", "step_number": 2, "step_type": "system", "worker_type": "data_processor", "config": {}},
        ],
        **changes,
    }
    return read_document(whole)


def plan_of(playbook_id: UUID, code: str = "small", version: int = 1) -> Plan:
    """The plan of `document`, as the compiler would make it."""

    def step(key: str, number: int, **more: Any) -> PlanStep:
        return PlanStep(
            key=key,
            name=key.capitalize(),
            number=number,
            step_id=ids.step_entity_id(playbook_id, key),
            smart_code=smart_codes.exec_code("TESTING", key, version),
            **more,
        )

    return Plan(
        playbook_id=playbook_id,
        code=code,
        name="Small playbook",
        industry="TESTING",
        version=version,
        currency="USD",
        run_smart_code=smart_codes.run_code("TESTING", code, version),
        steps=(
            step(
                "register",
                1,
                step_type="human",
                worker_type="clerk",
                carrier="task",
                required_roles=("clerk",),
                approval=ApprovalPlan(threshold=2, max_voters=3),
                sensitive_input=("/secret",),
                sensitive_output=("/pin", "/data/pin"),
            ),
            step(
                "check",
                2,
                step_type="system",
                worker_type="data_processor",
                carrier="pure",
                dependencies=(Dependency(step="register"),),
            ),
        ),
        sensitive_input=("/secret",),
        sensitive_output=("/secret",),
        final_steps=("check",),
    )


@dataclass(slots=True)
class Sample:
    """One organization's playbook, published, and the flushes of its runs."""

    database: Database
    organization_id: UUID
    playbook_id: UUID
    plan: Plan
    runs: list[UUID] = field(default_factory=list[UUID])

    def run_input(self, **changes: Any) -> RunInput:
        start = RunInput(
            organization_id=self.organization_id,
            execution_id=uuid4(),
            plan=self.plan,
            initiator=ANNA,
            input={"secret": "s3cret", "amount": 5.0},
            tags=("urgent", "night"),
            notification={"on_completion": True},
        )
        return replace(start, **changes)

    async def insert(self, run: NewRun | None = None, **changes: Any) -> InsertedRun:
        """Insert a run; `changes` are fields of its RunInput."""
        new = run or NewRun(input=self.run_input(**changes), request_hash="hash")
        async with self.database.writing(self.organization_id) as session:
            inserted = await insert_run(session, new, SEALER)
        self.runs.append(inserted.row.execution_id)
        return inserted

    def flush(
        self,
        execution_id: UUID,
        seq: int,
        *steps: StepState,
        events: tuple[AuditEvent, ...] = (),
        workflow: str = "first",
        **run: Any,
    ) -> FlushCall:
        """A flush with these steps; `run` are fields of its RunProjection."""
        projection = RunProjection(
            status="in_progress",
            priority="normal",
            cost=sum((step.cost for step in steps), Decimal(0)),
            total_steps=2,
            started_at=T0,
            completed_at=None,
            current_step=None,
        )
        return FlushCall(
            organization_id=self.organization_id,
            execution_id=execution_id,
            playbook_id=self.playbook_id,
            temporal_run_id=workflow,
            seq=seq,
            run=replace(projection, **run),
            steps=steps,
            events=events,
        )


def step(key: str, seq: int, **changes: Any) -> StepState:
    """A completed step with one attempt."""
    state = StepState(
        key=key,
        seq=seq,
        status="completed",
        started_at=T0,
        completed_at=T0 + timedelta(seconds=2),
        attempts=(Attempt(number=1, started_at=T0, ended_at=T0 + timedelta(seconds=2)),),
        input={"secret": "s3cret"},
        output={"pin": "1234", "fine": True},
        cost=Decimal("2.5"),
    )
    return replace(state, **changes)


def event(number: int, kind: str = "step_completed", data: dict[str, Json] | None = None) -> AuditEvent:
    at = T0 + timedelta(seconds=number)
    return AuditEvent(number=number, at=at, kind=cast("AuditKind", kind), actor=ANNA, data=data or {})


async def published(database: Database, organization_id: UUID, code: str = "small") -> Sample:
    """The sample playbook, active, in this organization."""
    playbook_id = uuid4()
    async with database.writing(organization_id) as session:
        row = await insert_version(session, playbook_id=playbook_id, document=document(code), version=1, actor=ANNA)
        await store_plan(session, playbook_id, plan_of(playbook_id, code))
        await transition(session, row, TransitionRequest(action="publish", actor=ANNA, reason="ready"))
    return Sample(database, organization_id, playbook_id, plan_of(playbook_id, code))

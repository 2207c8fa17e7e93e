"""Plans for tests of the machine and the workflow, built without documents."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

from playbooks.common.values import Actor
from playbooks.engine.model.plan import ChildPlan, Dependency, Plan, PlanStep
from playbooks.engine.model.step_ref import StepRef
from playbooks.engine.model.temporal_messages import RunInput

PLAYBOOK = UUID("11111111-1111-4111-8111-111111111111")
ORGANIZATION = UUID("22222222-2222-4222-8222-222222222222")
EXECUTION = UUID("33333333-3333-4333-8333-333333333333")
INITIATOR = Actor(id=UUID("44444444-4444-4444-8444-444444444444"), name="Ines", roles=("intake_specialist",))


def person(name: str, *roles: str) -> Actor:
    """An actor with a stable id made from the name."""
    return Actor(id=UUID(bytes=name.encode().ljust(16, b"_")[:16]), name=name, roles=roles)


def step(key: str, number: int, *, after: tuple[str, ...] = (), **fields: Any) -> PlanStep:
    """A pure system step that follows `after`, unless fields change it."""
    defaults: dict[str, Any] = {
        "name": key.replace("_", " ").title(),
        "step_type": "system",
        "worker_type": "data_processor",
        "carrier": "pure",
        "step_id": UUID(int=number),
        "smart_code": f"HERA.TESTING.PLAYBOOK.STEP.EXEC.{key.upper()}.V1",
        "dependencies": tuple(Dependency(step=other) for other in after),
        "cost": Decimal(1),
    }
    return PlanStep(key=key, number=number, **{**defaults, **fields})


def human(key: str, number: int, *, after: tuple[str, ...] = (), **fields: Any) -> PlanStep:
    """A step that a person with the role `approver` decides."""
    defaults: dict[str, Any] = {"step_type": "human", "worker_type": "approval_manager", "carrier": "task"}
    return step(key, number, after=after, **{**defaults, "required_roles": ("approver",), **fields})


def effect(key: str, number: int, *, after: tuple[str, ...] = (), **fields: Any) -> PlanStep:
    """A step with an effect, carried by a regular activity."""
    defaults: dict[str, Any] = {"step_type": "external", "worker_type": "http_request", "carrier": "effect"}
    return step(key, number, after=after, **{**defaults, **fields})


def child(key: str, number: int, *, after: tuple[str, ...] = (), waits: bool = True, **fields: Any) -> PlanStep:
    """A step that runs another playbook."""
    defaults: dict[str, Any] = {"worker_type": "sub_playbook", "carrier": "child"}
    rules = ChildPlan(code="other", waits=waits)
    return step(key, number, after=after, **{**defaults, "child": rules, **fields})


def undoing(key: str, number: int, **fields: Any) -> PlanStep:
    """The compensation of the step `key`."""
    defaults: dict[str, Any] = {"cost": Decimal(0), "critical": False, "name": f"{key} (undo)"}
    return effect(str(StepRef(key, is_undo=True)), number, **{**defaults, **fields})


def plan_of(*steps: PlanStep, **fields: Any) -> Plan:
    """A plan with these steps."""
    defaults: dict[str, Any] = {
        "playbook_id": PLAYBOOK,
        "code": "testing",
        "name": "Testing",
        "industry": "TESTING",
        "version": 1,
        "currency": "USD",
        "run_smart_code": "HERA.TESTING.PLAYBOOK.RUN.TESTING.V1",
        "final_steps": (steps[-1].key,) if steps else (),
    }
    return Plan(steps=steps, **{**defaults, **fields})


def run_input(plan: Plan, **fields: Any) -> RunInput:
    """Input of a run of this plan."""
    defaults: dict[str, Any] = {
        "organization_id": ORGANIZATION,
        "execution_id": EXECUTION,
        "initiator": INITIATOR,
        "input": {},
    }
    return RunInput(plan=plan, **{**defaults, **fields})

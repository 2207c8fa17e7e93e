"""A stage for the workflow's tests: a worker with fake activities on a real server, in the default sandbox."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeAlias
from uuid import UUID, uuid4

from temporalio.api.common.v1 import Payload, Payloads, WorkflowExecution
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflowservice.v1 import SignalWorkflowExecutionRequest
from temporalio.client import Client, WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer, Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from playbooks.common import ids
from playbooks.common.values import JsonObject, Verdict
from playbooks.engine.model.plan import Plan
from playbooks.engine.model.state import RunState
from playbooks.engine.model.temporal_messages import CancelCall, RunResult
from runtime.replay_safe_runner import ReplaySafeRunner
from tests.support.fakes import FakeWorld
from tests.support.plans import ORGANIZATION, run_input
from workflows.playbook_run import PlaybookRunWorkflow

SIGNED: JsonObject = {"signature": "as the fakes take it", "actor": {"sub": "service"}}
"""Fields that make a message one of the service's, where its signature is not verified."""

Handle: TypeAlias = WorkflowHandle[Any, RunResult]


def sandbox(*also_passed: str) -> SandboxedWorkflowRunner:
    """The default restrictions; only the pure core and what it needs is passed through."""
    modules = ("playbooks", "pydantic", "pydantic_core", *also_passed)
    return SandboxedWorkflowRunner(restrictions=SandboxRestrictions.default.with_passthrough_modules(*modules))


@dataclass(kw_only=True)
class Stage:
    """A client, a task queue of its own and a world. Runs started here get ids of their own."""

    client: Client
    world: FakeWorld = field(default_factory=FakeWorld)
    queue: str = field(default_factory=lambda: f"queue-{uuid4()}")

    def __post_init__(self) -> None:
        self.world.cancel = self._cancel

    async def _cancel(self, call: CancelCall) -> None:
        await self.client.get_workflow_handle(ids.workflow_id(call.organization_id, call.execution_id)).cancel()

    @asynccontextmanager
    async def worker(
        self, *, workflow: type = PlaybookRunWorkflow, passed: tuple[str, ...] = (), **options: Any
    ) -> AsyncGenerator[Worker]:
        """A running worker; stopped, with what it was doing, at the end."""
        sticky = timedelta(seconds=1)
        settings: dict[str, Any] = {"sticky_queue_schedule_to_start_timeout": sticky, **options}
        worker = Worker(
            self.client,
            task_queue=self.queue,
            workflows=[workflow],
            activities=self.world.activities(),
            workflow_runner=ReplaySafeRunner(sandbox(*passed)),
            **settings,
        )
        async with worker:
            yield worker

    async def start(self, plan: Plan, *, task_timeout: timedelta = timedelta(seconds=2), **fields: Any) -> Handle:
        execution: UUID = fields.pop("execution_id", None) or uuid4()
        return await self.client.start_workflow(
            "PlaybookRun",
            run_input(plan, execution_id=execution, **fields),
            id=ids.workflow_id(ORGANIZATION, execution),
            task_queue=self.queue,
            task_timeout=task_timeout,
            result_type=RunResult,
        )

    async def signal_raw(self, handle: Handle, name: str, *payloads: Payload) -> None:
        """A signal with payloads as a foreign client may send them."""
        await self.client.workflow_service.signal_workflow_execution(
            SignalWorkflowExecutionRequest(
                namespace=self.client.namespace,
                workflow_execution=WorkflowExecution(workflow_id=handle.id),
                signal_name=name,
                input=Payloads(payloads=payloads),
            )
        )


def replayer(workflow: type = PlaybookRunWorkflow) -> Replayer:
    """Replays histories as the stage's workers run them."""
    return Replayer(workflows=[workflow], data_converter=pydantic_data_converter, workflow_runner=sandbox())


async def update(handle: Handle, verb: str, *arguments: Any) -> Verdict:
    """Send an update (without arguments: an empty object) and wait for its verdict."""
    # The SDK leaves a part of this signature's type open.
    return await handle.execute_update(  # pyright: ignore[reportUnknownMemberType]
        verb, args=arguments or ({},), result_type=Verdict
    )


async def state_of(handle: Handle) -> RunState:
    return await handle.query("state", result_type=RunState)


async def events_of(handle: Handle, *kinds: EventType.ValueType) -> list[HistoryEvent]:
    """The history's events, all or of these kinds."""
    history = await handle.fetch_history()
    return [event for event in history.events if not kinds or event.event_type in kinds]


def vote(step: str, who: str, decision: str = "approve", **body: Any) -> JsonObject:
    """A decision as a trusted Temporal client sends it."""
    return {"step": step, "decision": decision, "actor": {"sub": who, "roles": ["approver"]}, **body}

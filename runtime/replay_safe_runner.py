"""A workflow runner under which a replay sees the order of the first execution, which the SDK alone does not promise.

All jobs of a workflow task are handed to the workflow at once, so that the workflow can order them. And a task is
failed if the task before it timed out while a local activity was outstanding, because the worker was frozen or
starved. The SDK would go on with the cached workflow, which has seen the two tasks one after the other; a replay sees
them as one. After the failure the worker evicts the workflow, and the server repeats the task from the history.

It binds to private names of the SDK; tests/runtime/test_replay_safe_runner.py names them all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from temporalio.api.enums.v1 import CommandType
from temporalio.bridge.proto.workflow_activation import WorkflowActivation, WorkflowActivationJob
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.converter import SerializationContext, StorageDriverStoreContext, WorkflowSerializationContext
from temporalio.worker import UnsandboxedWorkflowRunner, WorkflowInstance, WorkflowInstanceDetails, WorkflowRunner
from temporalio.worker._command_aware_visitor import CommandInfo
from temporalio.worker._workflow_instance import (
    _WorkflowLogicFlag,  # pyright: ignore[reportPrivateUsage]
)
from temporalio.workflow import Info, _Definition

TIMED_OUT: Final = "the workflow task before this one timed out during a local activity; it starts again"

_AS_SINGLE_BATCH: Final = 2
"""The SDK's flag for handing over signals together with other jobs; each history that was made with it records it."""

_HARMLESS: Final = frozenset({"query_workflow", "remove_from_cache", "notify_has_patch", "update_random_seed"})
"""Jobs that start no code of the workflow."""

_TO_OTHERS: Final = frozenset(
    {
        CommandType.COMMAND_TYPE_START_CHILD_WORKFLOW_EXECUTION,
        CommandType.COMMAND_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION,
    }
)
"""Commands whose payloads another workflow decodes."""


@dataclass(frozen=True)
class ReplaySafeRunner(WorkflowRunner):
    """Runs workflows with another runner. A replay with the SDK's own runner accepts its histories."""

    inner: WorkflowRunner = field(default_factory=UnsandboxedWorkflowRunner)

    def prepare_workflow(self, defn: _Definition) -> None:
        self.inner.prepare_workflow(defn)

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        flags = frozenset({_WorkflowLogicFlag(_AS_SINGLE_BATCH)})
        return _ReplaySafeInstance(self.inner.create_instance(replace(det, default_workflow_logic_flags=flags)))

    def set_worker_level_failure_exception_types(self, types: Sequence[type[BaseException]]) -> None:
        self.inner.set_worker_level_failure_exception_types(types)


class _ReplaySafeInstance(WorkflowInstance):
    """One workflow in the cache, and the local activities that it waits for."""

    def __init__(self, inner: WorkflowInstance) -> None:
        self._inner = inner
        self._outstanding: set[int] = set()
        self._task_timeout_ms = inner.get_info().task_timeout.total_seconds() * 1000
        self._last_task_at_ms: int | None = None
        info = inner.get_info()
        self._context = WorkflowSerializationContext(namespace=info.namespace, workflow_id=info.workflow_id)

    def activate(self, act: WorkflowActivation) -> WorkflowActivationCompletion:
        now_ms = act.timestamp.ToMilliseconds()
        is_reordered = self._outstanding and any(_starts_code(job) for job in act.jobs)
        if (
            is_reordered
            and self._last_task_at_ms is not None
            and now_ms - self._last_task_at_ms >= self._task_timeout_ms
        ):
            # Measured by the server's clock alone. A task that ended with a heartbeat ended earlier than this.
            return _failed_task()
        self._last_task_at_ms = None if act.is_replaying else now_ms
        self._outstanding -= {job.resolve_activity.seq for job in act.jobs if _is_local_result(job)}
        completion = self._inner.activate(act)
        for command in completion.successful.commands:
            if command.HasField("schedule_local_activity"):
                self._outstanding.add(command.schedule_local_activity.seq)
        return completion

    def get_serialization_context(self, command_info: CommandInfo | None) -> SerializationContext | None:
        """Return the workflow's context also for its activities: our converter binds payloads to a workflow only."""
        if command_info is not None and command_info.command_type in _TO_OTHERS:
            return self._inner.get_serialization_context(command_info)
        return self._context

    def get_external_store_context(self, command_info: CommandInfo | None) -> StorageDriverStoreContext:
        return self._inner.get_external_store_context(command_info)

    def get_info(self) -> Info:
        return self._inner.get_info()

    def get_thread_id(self) -> int | None:
        return self._inner.get_thread_id()


def _is_local_result(job: WorkflowActivationJob) -> bool:
    return job.HasField("resolve_activity") and job.resolve_activity.is_local


def _starts_code(job: WorkflowActivationJob) -> bool:
    return job.WhichOneof("variant") not in _HARMLESS and not _is_local_result(job)


def _failed_task() -> WorkflowActivationCompletion:
    completion = WorkflowActivationCompletion()
    completion.failed.failure.message = TIMED_OUT
    return completion

"""A workflow task that follows one that timed out during a local activity is failed; nothing else is."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from temporalio.bridge.proto.workflow_activation import WorkflowActivation, WorkflowActivationJob
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.worker import WorkflowInstance, WorkflowInstanceDetails, WorkflowRunner
from temporalio.worker._command_aware_visitor import CommandInfo
from temporalio.worker._workflow_instance import _WorkflowLogicFlag

from runtime.replay_safe_runner import TIMED_OUT, ReplaySafeRunner, _ReplaySafeInstance

TASK_TIMEOUT = 10.0
SIGNAL, TIMER, QUERY = "signal_workflow", "fire_timer", "query_workflow"


def activation(*kinds: str, at: float, is_replaying: bool = False, resolves: int | None = None) -> WorkflowActivation:
    act = WorkflowActivation(is_replaying=is_replaying)
    act.timestamp.FromMilliseconds(int(at * 1000))
    for kind in kinds:
        job = WorkflowActivationJob()
        getattr(job, kind).SetInParent()
        act.jobs.append(job)
    if resolves is not None:
        job = WorkflowActivationJob()
        job.resolve_activity.seq, job.resolve_activity.is_local = resolves, True
        act.jobs.append(job)
    return act


@dataclass
class FakeInstance(WorkflowInstance):
    """Schedules these local activities in its first activation, and nothing later. `seen`: its activations."""

    local_activities: tuple[int, ...]
    seen: list[WorkflowActivation] = field(default_factory=list[WorkflowActivation])

    def activate(self, act: WorkflowActivation) -> WorkflowActivationCompletion:
        completion = WorkflowActivationCompletion()
        for seq in () if self.seen else self.local_activities:
            completion.successful.commands.add().schedule_local_activity.seq = seq
        self.seen.append(act)
        return completion

    def get_info(self) -> Any:
        task_timeout = timedelta(seconds=TASK_TIMEOUT)
        return SimpleNamespace(task_timeout=task_timeout, namespace="default", workflow_id="w")

    def get_serialization_context(self, command_info: Any) -> Any:
        raise NotImplementedError

    def get_external_store_context(self, command_info: Any) -> Any:
        raise NotImplementedError


@dataclass
class FakeRunner(WorkflowRunner):
    instance: FakeInstance

    def prepare_workflow(self, defn: Any) -> None:
        raise NotImplementedError

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        return self.instance

    def set_worker_level_failure_exception_types(self, types: Sequence[type[BaseException]]) -> None:
        raise NotImplementedError


def instance_that_runs(*local_activities: int) -> tuple[WorkflowInstance, FakeInstance]:
    """An instance whose first activation schedules these local activities, and the one that it wraps."""
    inner = FakeInstance(local_activities)
    nothing: dict[str, Any] = {each.name: None for each in fields(WorkflowInstanceDetails)}
    return ReplaySafeRunner(FakeRunner(inner)).create_instance(WorkflowInstanceDetails(**nothing)), inner


def test_the_sdk_still_has_what_the_runner_binds_to() -> None:
    """An upgrade of the SDK that changes one of these needs a look at the runner."""
    assert _WorkflowLogicFlag(2).name == "PROCESS_WORKFLOW_ACTIVATION_JOBS_AS_SINGLE_BATCH"
    assert "default_workflow_logic_flags" in {each.name for each in fields(WorkflowInstanceDetails)}
    assert [each.name for each in fields(CommandInfo)] == ["command_type", "command_seq"]
    assert inspect.signature(WorkflowRunner.prepare_workflow).parameters["defn"].annotation.endswith("_Definition")
    for base, own in ((WorkflowRunner, ReplaySafeRunner), (WorkflowInstance, _ReplaySafeInstance)):
        methods = {name for name, each in vars(base).items() if inspect.isfunction(each) and name[0] != "_"}
        assert methods == {name for name, each in vars(own).items() if inspect.isfunction(each) and name[0] != "_"}


def is_given_back(instance: WorkflowInstance, act: WorkflowActivation) -> bool:
    return instance.activate(act).failed.failure.message == TIMED_OUT


@pytest.mark.parametrize("kind", [SIGNAL, TIMER, "do_update", "resolve_activity"])
def test_gives_back_when_the_task_before_timed_out_during_a_local_activity(kind: str) -> None:
    instance, inner = instance_that_runs(1)
    assert not is_given_back(instance, activation(TIMER, at=0))
    assert is_given_back(instance, activation(kind, at=TASK_TIMEOUT))
    assert len(inner.seen) == 1, "the workflow must not have seen it"


@pytest.mark.parametrize(
    "second",
    [
        pytest.param(activation(SIGNAL, at=TASK_TIMEOUT - 2), id="after a heartbeat"),
        pytest.param(activation(QUERY, at=TASK_TIMEOUT), id="a query"),
        pytest.param(activation("remove_from_cache", at=TASK_TIMEOUT), id="an eviction"),
        pytest.param(activation(at=TASK_TIMEOUT, resolves=1), id="the result itself"),
    ],
)
def test_goes_on_when_no_replay_could_differ(second: WorkflowActivation) -> None:
    instance, _ = instance_that_runs(1)
    instance.activate(activation(TIMER, at=0))
    assert not is_given_back(instance, second)


def test_goes_on_when_nothing_is_outstanding_any_more() -> None:
    instance, _ = instance_that_runs(1)
    instance.activate(activation(TIMER, at=0))
    instance.activate(activation(at=0, resolves=1))
    assert not is_given_back(instance, activation(SIGNAL, at=TASK_TIMEOUT))


def test_goes_on_when_the_worker_has_the_run_from_its_history() -> None:
    instance, _ = instance_that_runs(1)
    instance.activate(activation(TIMER, at=0, is_replaying=True))
    assert not is_given_back(instance, activation(SIGNAL, at=TASK_TIMEOUT)), "it would be given back for ever"

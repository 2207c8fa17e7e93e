"""A workflow task that follows a timed out one during a local activity is given back; nothing else is."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from unittest.mock import Mock

import pytest
from temporalio import workflow
from temporalio.bridge.proto.workflow_activation import WorkflowActivation, WorkflowActivationJob
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.worker import WorkflowInstance, WorkflowInstanceDetails

from runtime.replay_safe_runner import TIMED_OUT, UndisturbedRunner
from workflows.inbox import Arrivals

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


def instance_that_runs(*local_activities: int) -> tuple[WorkflowInstance, Mock]:
    """An instance whose first activation begins these local activities, and what is under it."""
    completion = WorkflowActivationCompletion()
    for seq in local_activities:
        completion.successful.commands.add().schedule_local_activity.seq = seq
    inner: Any = Mock()
    inner.get_info.return_value = Mock(task_timeout=timedelta(seconds=TASK_TIMEOUT))
    inner.activate.side_effect = [completion, *(WorkflowActivationCompletion() for _ in range(9))]
    runner: Any = Mock()
    runner.create_instance.return_value = inner
    details = Mock(spec=WorkflowInstanceDetails)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("runtime.replay_safe_runner.replace", lambda given, **_: given)
        return UndisturbedRunner(runner).create_instance(details), inner


def is_given_back(instance: WorkflowInstance, act: WorkflowActivation) -> bool:
    return instance.activate(act).failed.failure.message == TIMED_OUT


@pytest.mark.parametrize("kind", [SIGNAL, TIMER, "do_update", "resolve_activity"])
def test_gives_back_when_the_task_before_timed_out_during_a_local_activity(kind: str) -> None:
    instance, inner = instance_that_runs(1)
    assert not is_given_back(instance, activation(TIMER, at=0))
    assert is_given_back(instance, activation(kind, at=TASK_TIMEOUT))
    assert inner.activate.call_count == 1, "the workflow must not have seen it"


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


def test_orders_by_workflow_task_and_messages_last_when_much_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    length = 3
    monkeypatch.setattr(workflow, "info", lambda: Mock(get_current_history_length=lambda: length))
    arrivals, heard = Arrivals(), list[str]()
    for name, is_message in (("vote", True), ("timer", False), ("pause", True), ("effect", False)):
        arrivals.put(lambda name=name: heard.append(name), is_message=is_message)
    length = 7
    arrivals.put(lambda: heard.append("later timer"), is_message=False)
    while arrivals:
        arrivals.take()()
    assert heard == ["timer", "effect", "vote", "pause", "later timer"]

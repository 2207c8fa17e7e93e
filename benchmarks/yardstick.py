"""The yardstick: the same work written by hand for Temporal, without REST, rows, contracts or an audit trail.

Run as a process of its own, like our worker: `python -m benchmarks.yardstick ADDRESS`. Its worker has what ours has:
the same loop, no sandbox, the same sticky timeout and heartbeat throttle.
"""

from __future__ import annotations

import asyncio
import os
import sys
from datetime import timedelta
from pathlib import Path

import uvloop
from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.common import RetryPolicy
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import GrpcCompression
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

QUEUE = "yardstick"
_TIMEOUT = timedelta(seconds=30)
_HEARTBEAT = timedelta(seconds=5)
_RETRY = RetryPolicy(maximum_interval=timedelta(seconds=5))


def note(what: str, key: str) -> None:
    """One line in the file that `BENCH_YARDSTICK` names, written at once."""
    with Path(os.environ["BENCH_YARDSTICK"]).open("a") as file:
        file.write(f"{what} {key}\n")


@activity.defn
async def noop(value: dict[str, int]) -> dict[str, int]:
    return value


@activity.defn
async def pause(milliseconds: int) -> dict[str, int]:
    """Sends heartbeats, as ours does, so that a lost worker is noticed as soon; notes its begin, to show repeats."""
    info = activity.info()
    note("begin", f"{info.workflow_id}/{info.activity_id}")
    for _ in range(max(1, milliseconds // 100)):
        activity.heartbeat()
        await asyncio.sleep(min(milliseconds, 100) / 1000)
    return {}


@workflow.defn
class HandRegular:
    """Steps one after the other, each a regular activity."""

    @workflow.run
    async def run(self, steps: int) -> int:
        value = {"n": 0}
        for _ in range(steps):
            value = await workflow.execute_activity(noop, value, start_to_close_timeout=_TIMEOUT)
        return steps


@workflow.defn
class HandLocal:
    """Steps one after the other, each a local activity."""

    @workflow.run
    async def run(self, steps: int) -> int:
        value = {"n": 0}
        for _ in range(steps):
            value = await workflow.execute_local_activity(noop, value, start_to_close_timeout=_TIMEOUT)
        return steps


@workflow.defn
class HandParallel:
    """All steps at once."""

    @workflow.run
    async def run(self, steps: int, is_local: bool) -> int:
        value = {"n": 0}
        if is_local:
            calls = [
                workflow.execute_local_activity(noop, value, start_to_close_timeout=_TIMEOUT) for _ in range(steps)
            ]
        else:
            calls = [workflow.execute_activity(noop, value, start_to_close_timeout=_TIMEOUT) for _ in range(steps)]
        await asyncio.gather(*calls)
        return steps


@workflow.defn
class HandSlow:
    """Steps that take time, one after the other."""

    @workflow.run
    async def run(self, steps: int, milliseconds: int) -> int:
        for _ in range(steps):
            await workflow.execute_activity(
                pause,
                milliseconds,
                start_to_close_timeout=_TIMEOUT,
                heartbeat_timeout=_HEARTBEAT,
                retry_policy=_RETRY,
            )
        return steps


@workflow.defn
class HandApproval:
    """Waits for one signal, between two activities."""

    def __init__(self) -> None:
        self._is_approved = False

    @workflow.run
    async def run(self) -> bool:
        await workflow.execute_activity(noop, {"n": 0}, start_to_close_timeout=_TIMEOUT)
        await workflow.wait_condition(lambda: self._is_approved)
        await workflow.execute_activity(noop, {"n": 1}, start_to_close_timeout=_TIMEOUT)
        return True

    @workflow.signal
    def approve(self) -> None:
        self._is_approved = True


async def connect(address: str) -> Client:
    return await Client.connect(address, data_converter=pydantic_data_converter, grpc_compression=GrpcCompression.NONE)


async def _work(address: str) -> None:
    worker = Worker(
        await connect(address),
        task_queue=QUEUE,
        workflows=[HandRegular, HandLocal, HandParallel, HandSlow, HandApproval],
        activities=[noop, pause],
        workflow_runner=UnsandboxedWorkflowRunner(),
        sticky_queue_schedule_to_start_timeout=timedelta(seconds=3),
        max_heartbeat_throttle_interval=timedelta(seconds=1),
        default_heartbeat_throttle_interval=timedelta(seconds=1),
    )
    await worker.run()


if __name__ == "__main__":
    uvloop.run(_work(sys.argv[1]))

"""The worker process: workflows, activities, start sweeper, scheduler and reconciler.

Invariant: on SIGTERM the process takes no new work, and work in flight has time to finish.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncGenerator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path

import structlog
import uvloop
from temporalio.client import Client
from temporalio.worker import Worker

from activities.dependencies import ActivityDependencies
from activities.registry import build_activities
from publication.run_cancellation import CancelContext
from publication.scheduler import Scheduler, run_scheduler
from recovery.context import RecoveryContext
from recovery.reconciler import run_reconciler
from recovery.sweeper import run_sweeper
from runtime.logging import configure_logging
from runtime.replay_safe_runner import ReplaySafeRunner
from runtime.settings import Settings
from runtime.temporal_client import connect_when_ready, register_search_attributes
from runtime.worker_packages import installed_descriptions
from storage.database.sealing import Sealer
from storage.database.sessions import Database
from storage.playbooks.cache import VersionCache
from workflows.playbook_run import PlaybookRunWorkflow

GRACEFUL_SHUTDOWN = timedelta(seconds=15)
STICKY_SCHEDULE_TO_START = timedelta(seconds=3)
HEARTBEAT_THROTTLE = timedelta(seconds=1)


def build_worker(client: Client, settings: Settings, dependencies: ActivityDependencies) -> Worker:
    """Return the worker of one process, not started yet."""
    return Worker(
        client,
        task_queue=settings.task_queue,
        workflows=[PlaybookRunWorkflow],
        activities=build_activities(dependencies),
        # Without the sandbox: lint, and tests that run in the sandbox, forbid the same (docs/decisions/0009).
        workflow_runner=ReplaySafeRunner(),
        graceful_shutdown_timeout=GRACEFUL_SHUTDOWN,
        sticky_queue_schedule_to_start_timeout=STICKY_SCHEDULE_TO_START,
        max_heartbeat_throttle_interval=HEARTBEAT_THROTTLE,
        default_heartbeat_throttle_interval=HEARTBEAT_THROTTLE,
    )


@asynccontextmanager
async def running_worker(settings: Settings) -> AsyncGenerator[Worker]:
    """Run worker, sweeper, scheduler and reconciler within the block; waits for Temporal first."""
    async with AsyncExitStack() as cleanup:
        database = Database.connect(settings.needed("database_url"), pool_size=20)
        cleanup.push_async_callback(database.close)
        client = await connect_when_ready(settings)
        await register_search_attributes(client)
        dependencies = ActivityDependencies(
            database=database,
            settings=settings,
            sealer=Sealer(settings.key_ring),
            versions=VersionCache(),
            client=client,
        )
        worker = await cleanup.enter_async_context(build_worker(client, settings, dependencies))
        recovery = RecoveryContext(database=database, client=client, settings=settings, sealer=dependencies.sealer)
        cancelling = CancelContext(database=database, client=client, settings=settings)
        scheduler = Scheduler(context=cancelling, handlers=installed_descriptions())
        for work in (run_sweeper(recovery), run_scheduler(scheduler), run_reconciler(recovery)):
            await cleanup.enter_async_context(_in_background(work))
        yield worker


def run_worker(settings: Settings, ready_file: Path | None) -> int:
    """Work until SIGTERM or Ctrl-C."""
    configure_logging(settings.log_level)
    uvloop.run(_work_until_stopped(settings, ready_file))
    return 0


async def _work_until_stopped(settings: Settings, ready_file: Path | None) -> None:
    log = structlog.stdlib.get_logger(__name__)
    work = asyncio.current_task()
    stopped = asyncio.Event()
    is_ready = False

    def stop() -> None:
        stopped.set()
        if not is_ready and work is not None:  # still waiting for Temporal
            work.cancel()

    for each in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(each, stop)
    with suppress(asyncio.CancelledError):
        async with running_worker(settings):
            is_ready = True
            log.info("worker_ready", task_queue=settings.task_queue, temporal=settings.temporal_address)
            if ready_file is not None:
                ready_file.touch()  # noqa: ASYNC240 -- once, at start
            await stopped.wait()
            log.info("worker_stopping")
    if ready_file is not None:
        ready_file.unlink(missing_ok=True)  # noqa: ASYNC240 -- once, at the end


@asynccontextmanager
async def _in_background(work: Coroutine[object, object, None]) -> AsyncGenerator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

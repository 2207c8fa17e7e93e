"""Where the benchmarks run: the service as its users start it, and the yardstick's worker on the same Temporal server.

Owns starting and stopping, and what each process used of the processor. Must not know the jobs.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
import psutil
from temporalio.client import Client as TemporalClient

from benchmarks import yardstick
from cli.servers.processes import ChildProcess, spawn
from runtime.settings import plain_database_url
from tests.support.servers import scratch_folder
from tests.support.stack import Stack
from tests.support.waiting import eventually

PLUGIN = Path(__file__).parent / "plugin"
ROOT = Path(__file__).parents[1]


@dataclass
class Place:
    """Everything that a job talks to. `yard` is the yardstick's worker."""

    stack: Stack
    http: httpx2.AsyncClient
    database: asyncpg.Pool
    temporal: TemporalClient
    effects: Path
    yard: ChildProcess
    _versions: dict[str, str] = field(default_factory=dict[str, str])

    async def publish(self, document: dict[str, Any]) -> str:
        """The id of the published playbook; published once for each code."""
        code = document["code"]
        if code not in self._versions:
            answer = await self.http.post("/playbooks", json=document)
            assert answer.status_code == 201, answer.text
            playbook = answer.json()["data"]["playbook_id"]
            answer = await self.http.put(f"/playbooks/{playbook}/publish", json={"action": "publish", "reason": "x"})
            assert answer.status_code == 200, answer.text
            self._versions[code] = playbook
        return self._versions[code]

    async def execute(self, playbook: str) -> str:
        """Start a run over REST; its id."""
        answer = await self.http.post(f"/playbooks/{playbook}/execute", json={"input_data": {"n": 1}})
        assert answer.status_code in (201, 202), answer.text
        return answer.json()["data"]["execution_id"]

    async def count(self, playbook: str, status: str) -> int:
        """How many rows of its runs have this status."""
        query = """SELECT count(*) FROM universal_transactions WHERE transaction_type = 'PLAYBOOK_RUN'
            AND target_entity_id = $1::uuid AND transaction_status = $2"""
        return await self.database.fetchval(query, playbook, status)

    async def until(self, is_true: Callable[[], Awaitable[bool]], *, seconds: float, every: float = 0.01) -> None:
        """Poll until it holds. AssertionError when it does not in time."""
        await eventually(is_true, seconds, every=every)

    def cpu_seconds(self) -> dict[str, float]:
        """Processor seconds of each process so far, its children included."""
        assert self.stack.api
        assert self.stack.worker
        assert self.stack.temporal
        return {
            "api": _cpu(self.stack.api.pid),
            "worker": _cpu(self.stack.worker.pid),
            "temporal": _cpu(self.stack.temporal.process.pid),
            "yardstick": _cpu(self.yard.pid),
            "postgres": _cpu(_postmaster(self.stack.folder / "postgres")),
        }

    def worker_bytes(self) -> int:
        """Resident memory of our worker."""
        assert self.stack.worker
        return psutil.Process(self.stack.worker.pid).memory_info().rss

    def yardstick_bytes(self) -> int:
        return psutil.Process(self.yard.pid).memory_info().rss

    def start_yardstick(self) -> None:
        self.yard = start_yardstick(self.stack)


def _postmaster(folder: Path) -> int:
    """The pid that PostgreSQL wrote for the server on this data folder."""
    return int(next(folder.rglob("postmaster.pid")).read_text().split()[0])


def _cpu(
    pid: int,
) -> float:
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
        return sum(sum(member.cpu_times()[:2]) for member in family)
    except psutil.NoSuchProcess:
        return 0.0


def start_yardstick(stack: Stack) -> ChildProcess:
    command = [sys.executable, "-m", "benchmarks.yardstick", stack.temporal_address]
    return spawn("yardstick", command, log=stack.folder / "yardstick.log", env=stack.environment)


@asynccontextmanager
async def running_place() -> AsyncGenerator[Place]:
    """A service, a yardstick, and clients of both; all of it gone at the end."""
    with scratch_folder() as folder:
        effects = folder / "effects.txt"
        os.environ["PYTHONPATH"] = f"{ROOT}{os.pathsep}{PLUGIN}"
        os.environ["BENCH_EFFECTS"] = str(effects)
        os.environ["BENCH_YARDSTICK"] = str(folder / "yardstick.txt")
        stack = Stack(folder)
        async with AsyncExitStack() as leaving:
            leaving.push_async_callback(asyncio.to_thread, stack.stop)
            await asyncio.to_thread(stack.start)
            token = stack.token("bench", "playbook_author", "approver")
            pool = await asyncpg.create_pool(plain_database_url(stack.admin_url), min_size=1, max_size=4)
            leaving.push_async_callback(pool.close)
            http = httpx2.AsyncClient(
                base_url=f"{stack.api_url}/api/v1",
                headers={"Authorization": f"Bearer {token}"},
                limits=httpx2.Limits(max_connections=32),
                timeout=120,
            )
            await leaving.enter_async_context(http)
            temporal = await yardstick.connect(stack.temporal_address)
            place = Place(stack, http, pool, temporal, effects, start_yardstick(stack))
            leaving.callback(lambda: place.yard.stop())  # noqa: PLW0108 -- a job may replace it
            yield place


def now() -> float:
    return time.perf_counter()

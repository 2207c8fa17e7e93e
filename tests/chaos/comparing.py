"""Rows against Temporal while both move: how often they agree, two seconds of lag allowed.

Owns single comparisons and their count. A comparison asks a workflow for its state, and then watches the row until it
has caught up: the same `seq` with the same status and steps, or a later one that the workflow has reached by then, too.
What cannot be asked, because a process is away, is no comparison.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from uuid import UUID

import asyncpg
from temporalio.client import Client, HeaderCodecBehavior, WorkflowQueryFailedError, WorkflowQueryRejectedError
from temporalio.runtime import LoggingConfig, Runtime, TelemetryConfig, TelemetryFilter
from temporalio.service import RPCError

from playbooks.engine.model.state import RunState
from runtime.converter import data_converter
from runtime.keys import KeyRing
from runtime.settings import plain_database_url
from tests.chaos.crowd import Crowd
from tests.support.servers import ENCRYPTION_KEYS
from tests.support.stack import Stack

LAG = 2.0
"""Seconds by which a row may be behind its workflow."""

_PATIENCE = 15.0
_ASK_AGAIN = 0.1
_ROW = """SELECT version, transaction_status AS status, metadata->'step_statuses' AS statuses, (
        SELECT jsonb_object_agg(line_data->>'key', line_data->>'status') FROM universal_transaction_lines
        WHERE transaction_id = $1 AND line_type = 'step_execution' AND line_number < 100000
    ) AS lines FROM universal_transactions WHERE id = $1"""
_AWAY = (
    RPCError,
    WorkflowQueryFailedError,
    WorkflowQueryRejectedError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)


@dataclass
class Comparisons:
    """`unequal`: when each was found, and what was. `unanswered`: somebody was away, so nothing was compared.

    `lags`: seconds until the row had caught up with the workflow, per comparison.
    """

    equal: int = 0
    unequal: list[tuple[float, str]] = field(default_factory=list[tuple[float, str]])
    unanswered: int = 0
    lags: list[float] = field(default_factory=list[float])
    asked: set[str] = field(default_factory=set[str])

    @property
    def count(self) -> int:
        return self.equal + len(self.unequal)

    @property
    def share(self) -> float:
        return self.equal / self.count if self.count else 1.0

    def unequal_after(self, at: float) -> list[str]:
        return [what for when, what in self.unequal if when > at]

    def __str__(self) -> str:
        lags = sorted(self.lags) or [0.0]
        lag = f"lag p50 {lags[len(lags) // 2]:.1f} s, p99 {lags[len(lags) * 99 // 100]:.1f} s, longest {lags[-1]:.1f} s"
        equal = f"{self.equal} of {self.count} comparisons equal ({self.share:.2%})"
        return f"{equal}, {lag}, {self.unanswered} not possible"


async def temporal_of(stack: Stack) -> Client:
    """A client with the service's keys: it can read the answers of runs. It does not log that a server is away."""
    quiet = LoggingConfig(filter=TelemetryFilter(core_level="ERROR", other_level="ERROR"))
    return await Client.connect(
        stack.temporal_address,
        data_converter=data_converter(KeyRing.parse(ENCRYPTION_KEYS)),
        header_codec_behavior=HeaderCodecBehavior.CODEC,
        runtime=Runtime(telemetry=TelemetryConfig(logging=quiet)),
    )


@asynccontextmanager
async def comparing(crowd: Crowd, *, at_once: int = 2, rest: float = 0.1) -> AsyncGenerator[Comparisons]:
    """Compare whatever runs there are until the block ends. Which, comes from the crowd's seed."""
    found = Comparisons()
    client = await temporal_of(crowd.stack)
    tasks = [
        asyncio.create_task(_compare_on(crowd, client, found, Random(crowd.rng.random()), rest)) for _ in range(at_once)
    ]
    try:
        yield found
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    broken = [end for end in ended if not isinstance(end, asyncio.CancelledError)]
    assert broken == [], "a comparer must not give up"


async def _compare_on(crowd: Crowd, client: Client, found: Comparisons, rng: Random, rest: float) -> None:
    while True:
        try:
            connection = await asyncpg.connect(plain_database_url(crowd.stack.admin_url), timeout=2)
        except _AWAY:
            found.unanswered += 1
            await asyncio.sleep(0.5)
            continue
        try:
            while not connection.is_closed():
                # The newest are alive; an old one that has ended must be equal, too.
                runs = crowd.accepted[-40:] if rng.random() < 0.9 else crowd.accepted
                if runs:
                    await _compare(crowd, client, connection, rng.choice(runs), found)
                await asyncio.sleep(rest * rng.uniform(0.5, 1.5))
        finally:
            connection.terminate()


async def _compare(crowd: Crowd, client: Client, connection: asyncpg.Connection, run: str, found: Comparisons) -> None:
    if run in found.asked:
        return  # Temporal refuses a second question to a busy workflow
    found.asked.add(run)
    try:
        difference = await _difference(crowd, client, connection, run, found.lags)
    except _AWAY as error:
        found.unanswered += 1
        if not isinstance(error, RPCError | WorkflowQueryFailedError | WorkflowQueryRejectedError):
            connection.terminate()
        await asyncio.sleep(0.2)
        return
    finally:
        found.asked.discard(run)
    if difference is None:
        found.equal += 1
    else:
        found.unequal.append((time.monotonic(), f"{run}: {difference}"))


async def _difference(
    crowd: Crowd, client: Client, connection: asyncpg.Connection, run: str, lags: list[float]
) -> str | None:
    """Describe what is not equal once the row has caught up or has had time enough."""
    state = await _state(crowd, client, run)
    asked = time.monotonic()
    while True:
        row = await connection.fetchrow(_ROW, UUID(run), timeout=5)
        if row is None:
            return "no row"
        version, lag = row["version"] or 0, time.monotonic() - asked
        if version >= state.seq or lag > _PATIENCE:
            break
        await asyncio.sleep(_ASK_AGAIN)
    lags.append(lag)
    if lag > LAG:
        return f"row {lag:.1f} s behind, at {version} ({row['status']}), workflow at {state.seq} ({state.status})"
    if version == state.seq:
        return _of_equal_seq(state, row)
    later = await _state(crowd, client, run)
    return None if later.seq >= version else f"row at {version}, workflow at {later.seq} only"


def _of_equal_seq(state: RunState, row: asyncpg.Record) -> str | None:
    if row["status"] != state.status:
        return f"seq {state.seq}: row {row['status']}, workflow {state.status}"
    expected = {key: step.status for key, step in state.steps.items() if step.status != "pending"}
    for column in ("statuses", "lines"):
        stored = {key: value for key, value in json.loads(row[column] or "{}").items() if value != "pending"}
        if stored != expected:
            return f"seq {state.seq}: {column} {stored}, workflow {expected}"
    return None


async def _state(crowd: Crowd, client: Client, run: str) -> RunState:
    handle = client.get_workflow_handle(crowd.workflow_of(run))
    return await handle.query("state", result_type=RunState, rpc_timeout=timedelta(seconds=5))

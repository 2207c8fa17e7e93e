"""Conditions that hold after every fault, and how soon runs moved again.

Owns the verdict. It looks from outside only: at the rows as the superuser sees them, at the answers of clients, and
with `playbook doctor`, which compares the rows with Temporal's histories.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence, Set
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from runtime.settings import plain_database_url
from tests.chaos.crowd import Crowd
from tests.support.waiting import eventually

FINISHED = ("completed", "failed", "cancelled")
_RUNS = """SELECT id::text, version, transaction_status AS status,
    (metadata->'step_statuses')::text LIKE '%"waiting"%' AS is_waiting FROM universal_transactions
    WHERE transaction_type = 'PLAYBOOK_RUN' AND organization_id = $1"""
_TASKS = """SELECT id::text, entity_code AS run FROM core_entities
    WHERE organization_id = $1 AND entity_type = 'playbook_task'"""
_VOTES = """SELECT transaction_id::text AS run, line_data->'task'->>'id' AS task, vote->'actor'->>'name' AS person
    FROM universal_transaction_lines, jsonb_array_elements(line_data->'task'->'votes') vote
    WHERE organization_id = $1 AND line_type = 'step_execution'
    AND jsonb_typeof(line_data->'task'->'votes') = 'array'"""


@dataclass
class Watch:
    """When each run's row moved, as seen five times a second. `waiting`: those that wait for people."""

    waiting: set[str] = field(default_factory=set[str])
    moved: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    now: dict[str, tuple[int, str]] = field(default_factory=dict[str, tuple[int, str]])

    def see(self, rows: Sequence[Any]) -> None:
        at = time.monotonic()
        self.waiting = {row["id"] for row in rows if row["is_waiting"]}
        for row in rows:
            seen = (row["version"] or 0, row["status"])
            if self.now.get(row["id"]) != seen:
                self.now[row["id"]] = seen
                self.moved.setdefault(row["id"], []).append(at)

    def unfinished(self) -> set[str]:
        return {run for run, (_, status) in self.now.items() if status not in FINISHED}

    def able_to_move(self) -> set[str]:
        """Unfinished ones that need nobody."""
        return self.unfinished() - self.waiting

    def seconds_until_moved(self, runs: set[str], since: float) -> list[float]:
        """For each of these runs, how long after `since` its row moved; sorted."""
        first = [next((at for at in self.moved[run] if at > since), None) for run in runs]
        return sorted(at - since for at in first if at is not None)


@asynccontextmanager
async def watching(crowd: Crowd) -> AsyncGenerator[Watch]:
    """A watch on all runs of the crowd; while the database is away, nothing is seen."""
    watch = Watch()
    task = asyncio.create_task(_look_on(crowd, watch))
    try:
        yield watch
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _look_on(crowd: Crowd, watch: Watch) -> None:
    while True:
        try:
            connection = await asyncpg.connect(plain_database_url(crowd.stack.admin_url), timeout=2)
            try:
                while True:
                    watch.see(await connection.fetch(_RUNS, crowd.organization_id, timeout=5))
                    await asyncio.sleep(0.2)
            finally:
                connection.terminate()
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, TimeoutError):
            await asyncio.sleep(0.2)


async def all_ended(crowd: Crowd, watch: Watch, seconds: float) -> None:
    """Wait until every accepted run is finished; names those that are not."""

    def left() -> dict[str, tuple[int, str]]:
        seen = {run: watch.now.get(run, (0, "no row")) for run in crowd.accepted}
        return {run: at for run, at in seen.items() if at[1] not in FINISHED}

    try:
        await eventually(lambda: not left(), seconds, every=0.2)
    except AssertionError as error:
        unfinished = left()
        some = dict(list(unfinished.items())[:5])
        raise AssertionError(f"{len(unfinished)} of {len(crowd.accepted)} accepted runs did not end: {some}") from error


def assert_sound(crowd: Crowd, watch: Watch, *, spoiled: Mapping[str, Set[str]] | None = None) -> None:
    """Nothing accepted is lost, nothing was done or decided twice, and rows and histories agree.

    `spoiled`: runs that somebody took from outside, with the ends that they may have; all others are completed. Votes
    in these may be gone with what was taken back.
    """
    spoiled = spoiled or {}
    assert crowd.odd == [], "answers that no client should get"
    assert len(set(crowd.accepted)) == len(crowd.accepted), "two keys, one run"
    assert set(watch.now) == set(crowd.accepted), "one run for each key, and no other"
    ends = {run: watch.now[run][1] for run in crowd.accepted}
    wrong = {run: end for run, end in ends.items() if end not in spoiled.get(run, {"completed"})}
    assert wrong == {}, "every other run of the crowd can be completed"
    cast = Counter((row["run"], row["task"], row["person"]) for row in crowd.stack.rows(_VOTES, crowd.organization_id))
    assert [vote for vote, count in cast.items() if count > 1] == [], "one decision per person and task"
    known = {(task, person) for _, task, person in cast}
    tasks = {row["id"]: row["run"] for row in crowd.stack.rows(_TASKS, crowd.organization_id)}
    lost = [vote for vote in crowd.votes if (vote.task, vote.person) not in known and tasks[vote.task] not in spoiled]
    assert lost == [], f"{len(lost)} of {len(crowd.votes)} acknowledged decisions are in no row"
    assert_healthy(crowd, spoiled=spoiled)


def assert_healthy(crowd: Crowd, *, spoiled: Collection[str] = ()) -> None:
    """`playbook doctor` finds no difference in any run, an effect that succeeded twice under one key included.

    A workflow that was deleted from outside in the moment in which it ended is missing: that is the truth.
    """
    command = [sys.executable, "-m", "cli.main", "doctor", "--json", "--older-than", "0", "--org", crowd.organization]
    done = subprocess.run(
        command, env=crowd.stack.environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode in (0, 1), f"{done.stdout[-4000:]}\n{done.stderr[-2000:]}"
    found = json.loads(done.stdout)
    assert found["runs"] >= len(crowd.accepted)
    differences = [
        each
        for each in found["differences"]
        if not (each["code"] == "WORKFLOW_MISSING" and each["execution_id"] in spoiled)
    ]
    assert not differences, json.dumps(differences, indent=1)[:6000]

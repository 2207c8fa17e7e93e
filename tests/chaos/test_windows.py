"""Faults at the worst moment: between a commit and what has to follow it, and two that do one thing at once."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Generator

import pytest

from tests.chaos.faults import kill, processes_of, start
from tests.chaos.judge import all_ended, assert_sound, watching
from tests.chaos.scene import Place, running_place
from tests.support.waiting import wait_until

ACCEPTED = 10
_QUEUED = """SELECT id::text FROM universal_transactions WHERE organization_id = $1
    AND transaction_type = 'PLAYBOOK_RUN' AND transaction_status = 'queued' AND coalesce(version, 0) = 0"""


@pytest.fixture(scope="module")
def place() -> Generator[Place]:
    with running_place() as running:
        yield running


async def test_run_starts_once_when_the_api_dies_between_commit_and_start(place: Place) -> None:
    """Temporal is frozen, so that every request hangs between the two; the callers come back with their keys."""
    stack = place.stack
    crowd = await place.crowd("window")
    async with watching(crowd) as watch, crowd.at_work():
        temporal = processes_of(stack, "temporal")
        for process in temporal:
            process.send_signal(signal.SIGSTOP)
        try:
            offering = asyncio.create_task(crowd.offer(ACCEPTED))

            def are_committed() -> bool:
                return len(stack.rows(_QUEUED, crowd.organization_id)) > 0

            await asyncio.to_thread(wait_until, are_committed, 10, "a run to be committed")
            assert crowd.accepted == [], "nobody has been answered yet"
            await asyncio.to_thread(kill, stack, ["api"])
            caught = await asyncio.to_thread(stack.rows, _QUEUED, crowd.organization_id)
        finally:
            for process in temporal:
                process.send_signal(signal.SIGCONT)
        await asyncio.to_thread(start, stack, ["api"])
        await offering
        await all_ended(crowd, watch, 60)
    assert caught, "nothing was caught between commit and start"
    assert {row["id"] for row in caught} <= set(crowd.accepted)
    print(f"window: {len(caught)} of {ACCEPTED} runs caught between commit and start")
    await asyncio.to_thread(assert_sound, crowd, watch)


@pytest.mark.soak
async def test_runs_start_once_when_two_workers_sweep(place: Place) -> None:
    """Temporal is away while runs are accepted; two workers, each with a sweeper, find them all at once."""
    stack = place.stack
    crowd = await place.crowd("two sweepers")
    first = stack.worker
    stack.start_worker()
    try:
        async with watching(crowd) as watch, crowd.at_work():
            await asyncio.to_thread(kill, stack, ["temporal"])
            await crowd.offer(50)
            waiting = await asyncio.to_thread(stack.rows, _QUEUED, crowd.organization_id)
            assert len(waiting) == 50
            await asyncio.to_thread(start, stack, ["temporal"])
            await all_ended(crowd, watch, 90)
    finally:
        assert first is not None
        await asyncio.to_thread(first.stop)
    swept = (stack.folder / "worker.log").read_text().count("queued_run_started")
    print(f"two sweepers: {len(waiting)} runs waited, {swept} starts by sweepers")
    await asyncio.to_thread(assert_sound, crowd, watch)


@pytest.mark.soak
async def test_api_answers_503_when_the_database_is_frozen(place: Place) -> None:
    """A frozen database is neither up nor down; callers get an answer within their patience, and never a bare 500."""
    crowd = await place.crowd("frozen database")
    frozen = processes_of(place.stack, "postgres")
    for process in frozen:
        process.send_signal(signal.SIGSTOP)
    try:
        async with crowd.http("paula", "playbook_author") as http:
            answer = await http.get("/playbooks/runs", timeout=40)
    finally:
        for process in frozen:
            process.send_signal(signal.SIGCONT)
    assert answer.status_code == 503, answer.text
    assert answer.json()["code"] == "SERVICE_UNAVAILABLE"

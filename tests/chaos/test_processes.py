"""Processes die and freeze, alone and in pairs, under live runs; every run goes on."""

from __future__ import annotations

from collections.abc import Generator
from itertools import combinations

import pytest

from tests.chaos.faults import PARTS, Part, freeze, kill_and_start
from tests.chaos.scene import MOST_MOVE_WITHIN, MOVES_WITHIN, Place, play, running_place

DAILY_RUNS, SOAK_RUNS = 30, 100
FROZEN = 15.0
PAIRS = list(combinations(PARTS, 2))
_CARRIES_EFFECTS: tuple[Part, ...] = ("worker", "temporal")
"""Without these an effect's outcome gets lost, and it has to be done again under its key."""


@pytest.fixture(scope="module")
def place() -> Generator[Place]:
    with running_place() as running:
        yield running


@pytest.mark.soak
async def test_every_run_goes_on_when_the_worker_is_killed(place: Place) -> None:
    await play(place, "kill worker", lambda: kill_and_start(place.stack, ["worker"]), runs=DAILY_RUNS)


@pytest.mark.soak
async def test_every_run_goes_on_when_the_worker_was_frozen(place: Place) -> None:
    """Longer than a workflow task and a heartbeat may take: the server has given its work to somebody else."""
    await play(place, "freeze worker", lambda: freeze(place.stack, ["worker"], 8.0), runs=DAILY_RUNS)


@pytest.mark.soak
@pytest.mark.parametrize("part", PARTS)
async def test_every_run_goes_on_when_one_process_is_killed(place: Place, part: Part) -> None:
    await play(
        place,
        f"kill {part}",
        lambda: kill_and_start(place.stack, [part]),
        runs=SOAK_RUNS,
        most_within=MOST_MOVE_WITHIN,
        does_again=part in _CARRIES_EFFECTS,
    )


@pytest.mark.soak
@pytest.mark.parametrize("part", PARTS)
async def test_every_run_goes_on_when_one_process_was_frozen(place: Place, part: Part) -> None:
    await play(
        place,
        f"freeze {part}",
        lambda: freeze(place.stack, [part], FROZEN),
        runs=SOAK_RUNS,
        moves_within=2 * MOVES_WITHIN,
        does_again=part in _CARRIES_EFFECTS,
    )


@pytest.mark.soak
@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
async def test_every_run_goes_on_when_two_processes_are_killed_at_once(place: Place, pair: tuple[Part, Part]) -> None:
    name = f"kill {' and '.join(pair)}"
    await play(place, name, lambda: kill_and_start(place.stack, pair, away=2.0), runs=SOAK_RUNS, moves_within=None)


@pytest.mark.soak
@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
async def test_every_run_goes_on_when_two_processes_were_frozen_at_once(place: Place, pair: tuple[Part, Part]) -> None:
    name = f"freeze {' and '.join(pair)}"
    await play(place, name, lambda: freeze(place.stack, pair, FROZEN), runs=SOAK_RUNS, moves_within=None)


@pytest.mark.soak
async def test_every_run_goes_on_when_the_database_was_away_for_three_minutes(place: Place) -> None:
    async def away() -> None:
        await kill_and_start(place.stack, ["postgres"], away=180.0)

    await play(place, "database away", away, runs=SOAK_RUNS, ends_within=180.0)

"""Random documents: either problems that point into the document, or a plan whose simulation ends within its bounds."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from playbooks.common.errors import InputError, Problem
from playbooks.common.json_pointer import parts
from playbooks.common.values import FINISHED_RUN, FINISHED_STEP, StepError
from playbooks.compiler.compile import compile_playbook
from playbooks.document.model import read_document
from playbooks.evaluation.steps import Version
from playbooks.simulation.driver import MAX_EVENTS, simulate
from playbooks.simulation.estimating import estimate_of
from playbooks.simulation.given import Given, GivenAttempt, GivenVote
from playbooks.simulation.outcome import Simulated
from tests.playbooks.building import VERSION_ID
from tests.playbooks.simulating import BEGIN
from tests.support.documents import random_document
from tests.support.plans import run_input

_SEEDS = st.integers(min_value=0, max_value=2**32)


def assert_points_into(document: Any, problem: Problem) -> None:
    """The pointer leads to something, or to the field that should be in something."""
    place, segments = document, parts(problem.pointer)
    assert problem.pointer == "" or problem.pointer.startswith("/"), problem
    for index, segment in enumerate(segments):
        if isinstance(place, dict) and segment in place:
            place = place[segment]
        elif isinstance(place, list):
            assert segment.isdecimal(), (problem, document)
            place = place[int(segment)]
        else:
            is_missing = index == len(segments) - 1 or problem.code == "REQUIRED"
            assert is_missing and (place is None or isinstance(place, dict)), (problem, document)
            return


def outcome_of(seed: int) -> tuple[Any, Simulated | tuple[Problem, ...]]:
    """A random document, with its problems or its simulation under random given results."""
    rng = Random(seed)
    value = random_document(rng)
    try:
        document = read_document(value)
    except InputError as refused:
        return value, refused.problems
    compiled = compile_playbook(document, playbook_id=VERSION_ID, version=1)
    if compiled.plan is None:
        return value, compiled.errors
    error = GivenAttempt(error=StepError(kind=rng.choice(["network", "system"]), code="X", message="as given"))
    entries = (error, GivenAttempt(output={"n": 3}), GivenAttempt(output=None))
    attempts = {step.key: tuple(rng.choices(entries, k=2)) for step in compiled.plan.steps if rng.random() < 0.3}
    choices: list[Any] = ["approve", "approve", "reject", "abstain", "request_changes"]
    votes = {
        step.key: tuple(GivenVote(choice=rng.choice(choices)) for _ in range(rng.randint(1, 4)))
        for step in compiled.plan.steps
        if step.carrier == "task" and rng.random() < 0.5
    }
    given_here = Given(attempts=attempts, votes=votes, approves_alone=rng.random() < 0.6)
    start = run_input(compiled.plan, input=rng.choice([{}, {"n": 2.5}, {"n": 2.5}, {"n": 3}]), debug=True)
    return value, simulate(Version(document, compiled.plan), start, given_here, at=BEGIN)


@settings(max_examples=120)
@given(seed=_SEEDS)
def test_has_pointers_or_ends_within_bounds_when_documents_are_random(seed: int) -> None:
    value, found = outcome_of(seed)
    if isinstance(found, tuple):
        assert found
        for problem in found:
            assert_points_into(value, problem)
        return
    assert found.ending != "stopped"
    assert found.events_received < MAX_EVENTS
    for problem in found.problems:
        if not problem.pointer.startswith("/simulation"):
            assert_points_into(value, problem)
    assert (found.state.status in FINISHED_RUN) == (found.ending in FINISHED_RUN)
    assert (found.ending in ("waiting", "paused")) == bool(found.waiting)
    if found.ending in FINISHED_RUN:
        assert all(step.status in FINISHED_STEP for step in found.state.steps.values())
    assert all(item.verdict is not None for item in found.decisions)
    assert [event.number for event in found.events] == list(range(2, found.state.event_count + 1))
    assert estimate_of(found).elapsed >= BEGIN - BEGIN


def test_reaches_every_ending_when_documents_are_random() -> None:
    endings: Counter[str] = Counter()
    for seed in range(150):
        _, found = outcome_of(seed)
        endings["refused" if isinstance(found, tuple) else found.ending] += 1
    assert set(endings) == {"refused", "completed", "failed", "waiting", "paused"}
    assert min(endings.values()) > 2

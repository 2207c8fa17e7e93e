"""Laws of the machine that hold for every plan, every event and every order of events."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from random import Random
from typing import Any, get_args, get_type_hints

from hypothesis import given, settings
from hypothesis import strategies as st

from playbooks.common.values import FINISHED_RUN, PayloadRef, StepError
from playbooks.engine.machine import advance, new_run
from playbooks.engine.model.control_messages import ACTIONS, MalformedMessage, read_message
from playbooks.engine.model.events import (
    AttemptLost,
    Event,
    MessageReceived,
    MessageRefused,
    RunStarted,
    StepReported,
    TimerFired,
)
from playbooks.engine.model.state import RunState
from playbooks.engine.model.temporal_messages import LoopOutcome, OutcomeOfCheck, StepOutcome
from tests.support.plans import INITIATOR, person, plan_of, run_input, step
from tests.support.random_plans import START, random_plan
from tests.support.simulation import STATE, Simulation

_FAST = settings(max_examples=30, deadline=None, derandomize=True, database=None)
_SEEDS = st.integers(min_value=0, max_value=2**32)
_KEYS = st.sampled_from(["s1", "s2", "s3", "s4", "s1[0]", "s2[1]", "s1!undo", "nowhere"])
_SMALL = st.integers(min_value=0, max_value=3)
_ERRORS = st.none() | st.builds(
    StepError,
    kind=st.sampled_from(["timeout", "network", "system", "cancelled"]),
    code=st.sampled_from(["NOT_STARTED", "HTTP_500"]),
    message=st.just("it failed"),
    retry_after_ms=st.none() | st.integers(),
)
_OUTCOMES = st.builds(
    StepOutcome,
    status=st.sampled_from(["ready", "succeeded", "skipped", "failed"]),
    error=_ERRORS,
    output=st.none() | st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
    needs_review=st.booleans(),
    wait_until=st.none() | st.just(START + timedelta(minutes=3)),
    cost=st.none() | st.just(Decimal("0.5")),
    items=st.none() | st.lists(st.integers(), max_size=3),
    item_count=st.none() | _SMALL,
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
_BODIES: st.SearchStrategy[Any] = st.fixed_dictionaries(
    {},
    optional={
        "step": _KEYS,
        "task_id": st.sampled_from(["", "11111111-1111-4111-8111-111111111111"]),
        "decision": st.sampled_from(["approve", "reject", "abstain", "request_changes", "maybe"]),
        "data": st.dictionaries(st.text(max_size=3), _JSON, max_size=2),
        "reason": st.text(max_size=5),
        "until": st.datetimes().map(str) | st.datetimes(timezones=st.timezones()).map(str) | st.text(max_size=4),
        "actor": st.fixed_dictionaries({}, optional={"sub": st.text(max_size=3) | _JSON, "roles": _JSON}),
        "ticket": st.text(max_size=3),
    },
)
_MESSAGES = st.tuples(st.sampled_from(sorted(ACTIONS)), _BODIES).map(lambda pair: read_message(pair[0], [pair[1]]))
_BY_FIELD: dict[str, st.SearchStrategy[Any]] = {
    "at": st.integers(min_value=0, max_value=10_000).map(lambda seconds: START + timedelta(seconds=seconds)),
    "step": _KEYS,
    "visit": st.sampled_from([1, 1, 1, 0, 2]),
    "attempt": _SMALL,
    "timer": st.sampled_from(
        [
            *("deadline", "resume", "x:y", "retry:s1:1", "window:s2:1", "timer:s3:1", "reminder:s2:1:0"),
            *("signal:s1:1", "child:s1:1", "again:s1:1", "retry:nowhere:1"),
        ]
    ),
    "message": _MESSAGES.filter(lambda message: not isinstance(message, MalformedMessage)),
    "request": st.sampled_from(["r1", "r2", "r3", "nothing"]),
    "wants_answer": st.booleans(),
    "verb": st.text(max_size=3),
    "code": st.just("X"),
    "reason": st.text(max_size=3),
    "is_acquired": st.booleans(),
    "output": _JSON,
    "error": _ERRORS,
}
_BY_TYPE: dict[Any, st.SearchStrategy[Any]] = {
    StepOutcome: _OUTCOMES,
    LoopOutcome: st.builds(LoopOutcome, holds=st.booleans(), error=_ERRORS),
    OutcomeOfCheck: st.builds(
        OutcomeOfCheck,
        actor=st.sampled_from([None, INITIATOR, person("anna", "approver"), person("ben", "approver")]),
        code=st.sampled_from([None, "NOT_ELIGIBLE"]),
    ),
}


def _drawn(event: type) -> st.SearchStrategy[Any]:
    """Any event of this type. A field without a strategy here is a KeyError, so no event type is left out."""
    hints = get_type_hints(event).items()
    return st.builds(event, **{name: _BY_TYPE[hint] if name == "outcome" else _BY_FIELD[name] for name, hint in hints})


_EVENTS: st.SearchStrategy[Any] = st.one_of(*(_drawn(event) for event in get_args(Event)))


@_FAST
@given(seed=_SEEDS, events=st.lists(_EVENTS, max_size=25))
def test_never_raises_when_any_events_come_in_any_order(seed: int, events: list[Event]) -> None:
    plan = random_plan(Random(seed), max_steps=4)
    state = new_run(run_input(plan))
    if seed % 2:
        state, _ = advance(plan, state, RunStarted(at=START))
    for event in events:
        before = state
        state, commands = advance(plan, before, event)
        assert advance(plan, before, event) == (state, commands)
        assert state.seq >= before.seq
        if before.status in FINISHED_RUN:
            assert (state.status, state.output, state.cost, state.steps) == (
                before.status,
                before.output,
                before.cost,
                before.steps,
            )


@settings(max_examples=80, deadline=None, derandomize=True, database=None)
@given(seed=_SEEDS)
def test_every_run_ends_within_its_laws_when_outcomes_are_random_but_fair(seed: int) -> None:
    rng = Random(seed)
    start = run_input(
        random_plan(rng),
        max_retries=rng.choice([None, 0, 2]),
        debug=rng.random() < 0.2,
        notification={"on_completion": True} if rng.random() < 0.3 else None,
    )
    simulation = Simulation(start, rng)
    state = simulation.run_to_the_end()
    assert state.status in FINISHED_RUN
    assert [event.number for event in simulation.events] == list(range(2, state.event_count + 1))
    assert {request for request, _ in _asked(simulation)} == set(simulation.verdicts)


def _asked(simulation: Simulation) -> list[tuple[str, str]]:
    return [
        (event.request, event.message.verb) for event, _ in simulation.history if isinstance(event, MessageReceived)
    ]


@_FAST
@given(seed=_SEEDS)
def test_is_the_same_run_when_its_state_travels_through_json_between_all_events(seed: int) -> None:
    rng = Random(seed)
    simulation = Simulation(run_input(random_plan(rng)), rng, late=0.0)
    simulation.run_to_the_end()
    travelled = new_run(simulation.start)
    for event, commands in simulation.history:
        travelled = STATE.validate_json(STATE.dump_json(travelled))
        travelled, again = advance(simulation.plan, travelled, event)
        assert again == commands
    assert travelled.status == simulation.state.status
    assert travelled.steps == simulation.state.steps


@_FAST
@given(seed=_SEEDS)
def test_changes_nothing_when_an_event_comes_twice_in_a_row(seed: int) -> None:
    rng = Random(seed)
    simulation = Simulation(run_input(random_plan(rng)), rng, late=0.0)
    simulation.run_to_the_end()
    state = new_run(simulation.start)
    for event, _ in simulation.history:
        state, _ = advance(simulation.plan, state, event)
        counts = isinstance(event, MessageReceived | MessageRefused | AttemptLost)
        if not counts and not (isinstance(event, TimerFired) and event.timer in state.timers):
            assert advance(simulation.plan, state, event) == (state, ())


def test_keeps_stored_values_as_references_when_state_travels_through_json() -> None:
    plan = plan_of(step("a", 1))
    state = new_run(run_input(plan))
    state, _ = advance(plan, state, RunStarted(at=START))
    ref = PayloadRef(line_number=500_001, size_bytes=70_000, sha256="ab" * 32)
    outcome = StepOutcome(status="succeeded", input=ref, output=ref)
    state, _ = advance(plan, state, StepReported(at=START, step="a", visit=1, attempt=1, outcome=outcome))
    again: RunState = STATE.validate_json(STATE.dump_json(state))
    assert again.steps["a"].output == ref
    assert again == state

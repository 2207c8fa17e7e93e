"""Data given to a simulation beside the run's input: results of attempts, decisions, messages from outside.

Nothing given is ignored silently: an entry that fits no step is refused, an unused one is reported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from difflib import get_close_matches

from playbooks.common.errors import Problem, warning
from playbooks.common.errors import error as problem
from playbooks.common.json_pointer import join
from playbooks.common.values import Json, JsonObject, StepError
from playbooks.engine.model.control_messages import Choice, ControlMessage, MalformedMessage, StepAction
from playbooks.engine.model.plan import Plan, PlanStep
from playbooks.engine.model.step_ref import StepRef

SIMULATED_ERROR = "SIMULATED_ERROR"
"""Code of a given error; its kind decides about retries, as in a run."""

MESSAGES = frozenset({"cancel_run", "complete_step", "fail_step", "retry_step", "signal", "skip_step"})
"""Verbs that may be given as messages. Decisions are given by step; a simulation is never paused or resumed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenAttempt:
    """Result of one attempt: `error`, or else `output`. `duration` None means the step's estimate."""

    output: Json = None
    error: StepError | None = None
    cost: Decimal | None = None
    confidence: float | None = None
    duration: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenVote:
    """One person's decision. `by` None is a new person, `roles` None those of the task, `data` None a generated form
    where approving needs one; `after` is the delay from the opening of the task (None: the step's estimate)."""

    choice: Choice
    by: str | None = None
    roles: tuple[str, ...] | None = None
    comment: str | None = None
    data: JsonObject | None = None
    after: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenMessage:
    """A control message, which the run receives `after` its start."""

    message: ControlMessage | MalformedMessage
    after: timedelta
    by: str | None = None
    roles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """By step key: successive attempts (the last one repeats) and successive decisions.

    `attempts_at`, `votes_at` and `messages_at` are the JSON Pointers of the three in what was sent.
    """

    attempts: Mapping[str, tuple[GivenAttempt, ...]] = field(default_factory=dict[str, tuple[GivenAttempt, ...]])
    votes: Mapping[str, tuple[GivenVote, ...]] = field(default_factory=dict[str, tuple[GivenVote, ...]])
    messages: tuple[GivenMessage, ...] = ()
    approves_alone: bool = False
    attempts_at: str = "/simulation/step_results"
    votes_at: str = "/simulation/decisions"
    messages_at: str = "/simulation/messages"


def problems_of(given: Given, plan: Plan) -> tuple[Problem, ...]:
    """Return problems of entries whose step does not exist or cannot use them."""
    steps = {step.key: step for step in (*plan.steps, *plan.compensations)}
    return (
        *_misplaced(given.attempts, steps, given.attempts_at, _refuses_attempts),
        *_misplaced(given.votes, steps, given.votes_at, _refuses_votes),
        *_unreadable(given.messages, steps, given.messages_at),
    )


def unused(given: Given, attempts: Mapping[str, int], votes: Mapping[str, int], sent: int) -> tuple[Problem, ...]:
    """Return a warning for each list that was not used up (counts by step key), and for each message after the run's
    end: all but the first `sent`."""
    lists = ((given.attempts, attempts, given.attempts_at), (given.votes, votes, given.votes_at))
    late = sorted(range(len(given.messages)), key=lambda index: given.messages[index].after)[sent:]
    places = [
        *(
            join(pointer, key, str(used.get(key, 0)))
            for items, used, pointer in lists
            for key, listed in items.items()
            if used.get(key, 0) < len(listed)
        ),
        *(join(given.messages_at, str(index)) for index in late),
    ]
    return tuple(warning(place, "NOT_USED", "the simulation had no use for this") for place in places)


def _unreadable(messages: tuple[GivenMessage, ...], steps: Mapping[str, PlanStep], pointer: str) -> Iterator[Problem]:
    for index, given in enumerate(messages):
        place = join(pointer, str(index))
        message = given.message
        if message.verb not in MESSAGES:
            reason = f"'{message.verb}' is none of {', '.join(sorted(MESSAGES))}"
            yield problem(join(place, "verb"), "NOT_ALLOWED", reason)
        elif isinstance(message, MalformedMessage):
            yield problem(join(place, "body"), message.code, message.reason)
        elif isinstance(message.action, StepAction) and StepRef.parse(message.action.step).key not in steps:
            yield _unknown(join(place, "body", "step"), message.action.step, steps)


def _misplaced(
    items: Mapping[str, tuple[object, ...]],
    steps: Mapping[str, PlanStep],
    pointer: str,
    refuses: Callable[[PlanStep], str | None],
) -> Iterator[Problem]:
    for key in items:
        step = steps.get(key)
        if step is None:
            yield _unknown(join(pointer, key), key, steps)
        elif (reason := refuses(step)) is not None:
            yield problem(join(pointer, key), "NOT_ALLOWED", reason)


def _unknown(place: str, key: str, steps: Mapping[str, PlanStep]) -> Problem:
    close = get_close_matches(key, list(steps), 1)
    hint = f"did you mean '{close[0]}'?" if close else None
    return problem(place, "UNKNOWN_STEP", f"the playbook has no step '{key[:100]}'", hint)


def _refuses_attempts(step: PlanStep) -> str | None:
    if step.carrier == "task":
        return "people decide this step: give their decisions"
    if step.carrier == "timer":
        return "a timer waits; it makes no attempts"
    return None


def _refuses_votes(step: PlanStep) -> str | None:
    takes = step.carrier == "task" or step.review_on_low_confidence
    return None if takes else "no person decides this step"

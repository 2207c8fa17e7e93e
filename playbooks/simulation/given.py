"""What a simulation is given beside the run's input: results of attempts, and people's decisions.

Owns what may be given for which step. Must not know where it came from. Invariant: nothing that is given is ignored in
silence: what fits no step is refused, what was not used is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from difflib import get_close_matches

from playbooks.errors import Problem
from playbooks.plan import Plan, PlanStep
from playbooks.pointers import join
from playbooks.problems import error as problem
from playbooks.problems import warning
from playbooks.state import Choice
from playbooks.values import Json, JsonObject, StepError

SIMULATED_ERROR = "SIMULATED_ERROR"
"""Code of an error that the simulation was given; its kind decides about retries, as in a run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenAttempt:
    """What one attempt comes to: `error`, or else `output`. `duration` None means the step's estimate."""

    output: Json = None
    error: StepError | None = None
    cost: Decimal | None = None
    confidence: float | None = None
    duration: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenVote:
    """One person's decision. `by` None is somebody new, `roles` None those of the task, `data` None a generated form
    where approving needs one; `after` counts from the opening of the task (None: the step's estimate)."""

    choice: Choice
    by: str | None = None
    roles: tuple[str, ...] | None = None
    comment: str | None = None
    data: JsonObject | None = None
    after: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """By step key: successive attempts (the last one answers all that follow) and successive decisions.

    `attempts_at` and `votes_at` are the JSON Pointers of the two in what was sent.
    """

    attempts: Mapping[str, tuple[GivenAttempt, ...]] = field(default_factory=dict[str, tuple[GivenAttempt, ...]])
    votes: Mapping[str, tuple[GivenVote, ...]] = field(default_factory=dict[str, tuple[GivenVote, ...]])
    approves_alone: bool = False
    attempts_at: str = "/simulation/step_results"
    votes_at: str = "/simulation/decisions"


def problems_of(given: Given, plan: Plan) -> tuple[Problem, ...]:
    """What is given for a step that does not exist or does not take it."""
    steps = {step.key: step for step in (*plan.steps, *plan.compensations)}
    return (
        *_misplaced(given.attempts, steps, given.attempts_at, _refuses_attempts),
        *_misplaced(given.votes, steps, given.votes_at, _refuses_votes),
    )


def unused(given: Given, attempts: Mapping[str, int], votes: Mapping[str, int]) -> tuple[Problem, ...]:
    """A warning for each list of which less was `used` (by step key) than was given."""
    lists = ((given.attempts, attempts, given.attempts_at), (given.votes, votes, given.votes_at))
    return tuple(
        warning(join(pointer, key, str(used.get(key, 0))), "NOT_USED", "the simulation had no use for this")
        for items, used, pointer in lists
        for key, listed in items.items()
        if used.get(key, 0) < len(listed)
    )


def _misplaced(
    items: Mapping[str, tuple[object, ...]],
    steps: Mapping[str, PlanStep],
    pointer: str,
    refuses: Callable[[PlanStep], str | None],
) -> Iterator[Problem]:
    for key in items:
        step = steps.get(key)
        if step is None:
            close = get_close_matches(key, list(steps), 1)
            hint = f"did you mean '{close[0]}'?" if close else None
            yield problem(join(pointer, key), "UNKNOWN_STEP", f"the playbook has no step '{key[:100]}'", hint)
        elif (reason := refuses(step)) is not None:
            yield problem(join(pointer, key), "NOT_ALLOWED", reason)


def _refuses_attempts(step: PlanStep) -> str | None:
    if step.carrier == "task":
        return "people decide this step: give their decisions"
    if step.carrier == "timer":
        return "a timer waits; it makes no attempts"
    return None


def _refuses_votes(step: PlanStep) -> str | None:
    takes = step.carrier == "task" or step.review_on_low_confidence
    return None if takes else "no person decides this step"

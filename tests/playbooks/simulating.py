"""Simulations of documents for tests, with defaults for everything that a test does not set."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from playbooks.common.values import ErrorKind, StepError
from playbooks.document.model import read_document
from playbooks.evaluation.steps import Version
from playbooks.simulation.driver import simulate
from playbooks.simulation.given import SIMULATED_ERROR, Given, GivenAttempt, GivenMessage, GivenVote
from playbooks.simulation.outcome import Simulated
from tests.playbooks.building import Document, plan_of
from tests.support.plans import run_input

BEGIN = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def played(
    document: Document,
    value: dict[str, Any] | None = None,
    *,
    attempts: dict[str, list[GivenAttempt]] | None = None,
    votes: dict[str, list[GivenVote]] | None = None,
    messages: tuple[GivenMessage, ...] = (),
    approves: bool = False,
    bounds: dict[str, Any] | None = None,
    at: datetime = BEGIN,
    **fields: Any,
) -> Simulated:
    """The simulation of a document that compiles."""
    plan = plan_of(document)
    given = Given(
        attempts={key: tuple(items) for key, items in (attempts or {}).items()},
        votes={key: tuple(items) for key, items in (votes or {}).items()},
        messages=messages,
        approves_alone=approves,
    )
    start = run_input(plan, input=value or {}, **fields)
    return simulate(Version(read_document(document), plan), start, given, at=at, **(bounds or {}))


def fails(kind: ErrorKind = "network", **fields: Any) -> GivenAttempt:
    return GivenAttempt(error=StepError(kind=kind, code=SIMULATED_ERROR, message="as given", **fields))


def gives(output: Any = None, **fields: Any) -> GivenAttempt:
    return GivenAttempt(output=output, **fields)


def approve(by: str | None = None, **fields: Any) -> GivenVote:
    return GivenVote(choice="approve", by=by, **fields)


def statuses(simulated: Simulated) -> dict[str, str]:
    return {key: step.status for key, step in simulated.state.steps.items()}


def codes(simulated: Simulated) -> list[tuple[str, str]]:
    """The problems as (code, pointer)."""
    return [(problem.code, problem.pointer) for problem in simulated.problems]

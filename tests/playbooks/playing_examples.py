"""The example processes simulated, with defaults for everything that a test does not set."""

from __future__ import annotations

import json
from datetime import timedelta
from functools import cache
from typing import Any

from playbooks.document.model import read_document
from playbooks.evaluation.steps import Version
from playbooks.simulation.driver import simulate
from playbooks.simulation.given import Given, GivenVote
from playbooks.simulation.outcome import Simulated
from tests.playbooks.building import EXAMPLES, plan_of
from tests.playbooks.simulating import BEGIN, gives
from tests.support.plans import run_input

NAMES = ("loan-approval", "patient-onboarding", "building-permit", "bill-approval")
ADDRESSES = (
    *("bureaus_url", "core_banking_url", "ehr_url", "payer_url", "reader_url", "scheduling_url"),
    *("finance_url", "register_url", "erp_url"),
)
VARIABLES = {name: f"https://{name.removesuffix('_url').replace('_', '-')}.example" for name in ADDRESSES}


def example(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The document and its input."""
    texts = ((EXAMPLES / f"{name}.{part}.json").read_text() for part in ("playbook", "input"))
    document, given = (json.loads(text) for text in texts)
    return document, given


@cache
def version(name: str) -> Version:
    document, _ = example(name)
    return Version(read_document(document), plan_of(document))


def tried(name: str, changes: dict[str, Any] | None, attempts: Any, votes: Any) -> Simulated:
    plan, value = version(name).plan, example(name)[1]
    given = Given(
        attempts={key: tuple(items) for key, items in attempts.items()},
        votes={key: tuple(items) for key, items in votes.items()},
    )
    start = run_input(plan, input={**value, **(changes or {})}, variables=VARIABLES)
    return simulate(version(name), start, given, at=BEGIN)


def output(done: Simulated, key: str | None = None) -> dict[str, Any]:
    """The output of a step, or of the run."""
    held = done.state.output if key is None else done.state.steps[key].output
    assert isinstance(held, dict), (done.ending, done.waiting, done.state.error)
    return held


def step_of(kind: str, done: Simulated) -> list[str | None]:
    return [event.step for event in done.events if event.kind == kind]


def vote(choice: Any, by: str, **fields: Any) -> GivenVote:
    return GivenVote(choice=choice, by=by, **fields)


def accepted(signal: str, days: int = 1) -> Any:
    return gives({"signal": signal}, duration=timedelta(days=days))

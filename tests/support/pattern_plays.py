"""Plays of the pattern playbooks, and the trace that a simulation of one produces.

A line of a trace is `minute what step`: `begin`, `end`, `fail`, `skip`, `cancel` of a step (an item of a `for_each` is
`step[index]`), `receive` of a signal, `back to`, `on to` where the run goes elsewhere, and how the run ended.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from api.simulation.schemas import SimulateRequest
from playbooks.document.model import read_document
from playbooks.engine.model.state import AuditEvent
from playbooks.evaluation.steps import Version
from playbooks.simulation.driver import simulate
from playbooks.simulation.given import problems_of
from playbooks.simulation.outcome import Simulated, Visit
from tests.playbooks.building import EXAMPLES, plan_of
from tests.support.plans import run_input

FOLDER = EXAMPLES / "patterns"
BEGIN = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)

_WORDS = {
    "step_started": "begin",
    "task_opened": "begin",
    "step_waiting": "begin",
    "loop_opened": "begin",
    "step_completed": "end",
    "step_failed": "fail",
    "step_skipped": "skip",
    "step_cancelled": "cancel",
}


@dataclass(frozen=True)
class Span:
    """One visit of a step, in minutes from the start of the run; None where it did not begin, or has not ended."""

    begun: float | None
    ended: float | None
    status: str


@dataclass(frozen=True)
class Play:
    """Result of one play. `lines` is its trace."""

    simulated: Simulated
    lines: tuple[str, ...]

    @property
    def status(self) -> str:
        return self.simulated.ending

    def spans(self, key: str) -> list[Span]:
        """The visits of a step, or of an item, in order."""
        found = sorted((number, visit) for (name, number), visit in self.simulated.visits.items() if name == key)
        return [_span(visit) for _, visit in found]

    def ran(self, key: str) -> bool:
        """True when the step was ever begun."""
        return any(span.begun is not None for span in self.spans(key))

    def only(self, key: str) -> Span:
        """The one visit of a step."""
        (span,) = self.spans(key)
        return span

    def items(self, key: str) -> list[Span]:
        """The items of a `for_each` step that were begun, by index."""
        return [self.only(name) for name in self.items_by_name(key)]

    def items_by_name(self, key: str) -> list[str]:
        names = {name for name, _ in self.simulated.visits if name.startswith(f"{key}[")}
        return sorted(names, key=lambda name: int(name.partition("[")[2].rstrip("]")))

    def comes_before(self, first: str, second: str) -> bool:
        """True when `begin a` (its first time) comes before `end b` (its first time); both without the minute."""
        entries = [line.partition(" ")[2] for line in self.lines]
        return entries.index(first) < entries.index(second)

    def count(self, what: str) -> int:
        return sum(line.partition(" ")[2] == what for line in self.lines)

    def at_once(self, *keys: str) -> int:
        """Return the largest number of these steps that were under way at the same time."""
        spans = [span for key in keys for span in self.spans(key) if span.begun is not None]
        moments = [span.begun for span in spans if span.begun is not None]
        return max(sum(_is_under_way(span, moment) for span in spans) for moment in moments)


def _is_under_way(span: Span, moment: float) -> bool:
    return span.begun is not None and span.begun <= moment and (span.ended is None or span.ended > moment)


def documents() -> list[str]:
    """The codes of all pattern playbooks."""
    return sorted(path.stem for path in FOLDER.glob("wcp-*.json") if not path.name.endswith(".plays.json"))


def document_of(code: str) -> dict[str, Any]:
    return json.loads((FOLDER / f"{code}.json").read_text())


def plays_of(code: str) -> dict[str, Any]:
    """Read the plays of a pattern: the input of each, and its expected trace."""
    return json.loads((FOLDER / f"{code}.plays.json").read_text())


@cache
def played(code: str, name: str) -> Play:
    """Simulate one play: its `body` is what `POST /playbooks/{id}/simulate` takes."""
    document = document_of(code)
    plan = plan_of(document)
    body = SimulateRequest.model_validate_json(json.dumps(plays_of(code)[name]["body"]))
    given = body.to_parameters().given
    assert problems_of(given, plan) == ()
    start = run_input(plan, input=body.input_data)
    simulated = simulate(Version(read_document(document), plan), start, given, at=BEGIN)
    return Play(simulated, tuple(_lines(simulated)))


def _lines(simulated: Simulated) -> Iterator[str]:
    for event in simulated.events:
        entry = _entry(event)
        if entry is not None:
            yield f"{_minute(event.at):g} {entry}"


def _entry(event: AuditEvent) -> str | None:
    match event.kind:
        case "step_started" if event.data.get("attempt") != 1:
            return None
        case "went_back":
            return f"back to {event.data['to']}"
        case "jumped":
            return f"on to {event.data['to']}"
        case "signal_received":
            return f"receive {event.data['name']}"
        case "run_completed" | "run_failed" | "run_cancelled":
            return event.kind.removeprefix("run_")
        case kind if kind in _WORDS:
            return f"{_WORDS[kind]} {event.step}"
        case _:
            return None


def _span(visit: Visit) -> Span:
    step = visit.step
    begun = step.started_at if visit.has_begun else None
    return Span(
        None if begun is None else _minute(begun),
        None if step.completed_at is None else _minute(step.completed_at),
        step.status,
    )


def _minute(at: datetime) -> float:
    return (at - BEGIN) / timedelta(minutes=1)

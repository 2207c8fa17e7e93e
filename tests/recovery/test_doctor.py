"""The doctor: no findings in a healthy service, independence of the projection, and its invariants."""

from __future__ import annotations

import ast
import dataclasses
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from uuid import UUID

from recovery.doctor import invariants
from recovery.doctor.facts import EffectFact, FlushFact, HistoryFacts, Pair, RowFacts, StepFact
from recovery.doctor.invariants import differences_of

_ROOM = Path(invariants.__file__).parent
_WRITERS = {
    "storage.runs.projection",
    "storage.runs.step_lines",
    "storage.runs.run_rows",
    "storage.runs.audit_trail",
    "storage.database.json_columns",
    "storage.runs.repairs",
    "playbooks.engine.machine",
    "playbooks.engine.projection",
    "playbooks.engine.digest",
    "runtime.histories",
}
_NOW = datetime(2026, 1, 1, tzinfo=UTC)
_RUN = UUID(int=1)

HISTORY = HistoryFacts(
    closed="running",
    last_event_at=_NOW,
    step_keys=("a",),
    flushes=(),
    effects=(),
    decides=0,
    result=None,
    is_whole=True,
)
ROWS = RowFacts(
    status="queued",
    seq=0,
    cost=Decimal(0),
    changed_at=_NOW,
    has_flushed=False,
    head_count=0,
    head_hash="0" * 64,
    metadata={},
    steps={},
    events=(),
)


def _last_flush(status: str) -> FlushFact:
    return FlushFact(seq=0, status=status, cost=Decimal(0), steps={}, events={}, is_done=True)


def _codes(history: HistoryFacts | None, rows: RowFacts | None) -> set[str]:
    pair = Pair(organization_id=_RUN, execution_id=_RUN, history=history, rows=rows)
    return {each.code for each in differences_of(pair)}


def test_doctor_shares_no_code_with_the_projection() -> None:
    files = list(_ROOM.glob("*.py"))
    assert len(files) >= 4
    for file in files:
        found: set[str] = set()
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                found |= {name.name for name in node.names}
            elif isinstance(node, ast.ImportFrom):
                module = node.module or ""
                found |= {module} | {f"{module}.{name.name}" for name in node.names}
        assert not found & _WRITERS, file.name


def test_nothing_is_found_when_both_sides_are_new() -> None:
    assert _codes(HISTORY, ROWS) == set()


def test_effect_is_found_when_it_succeeded_twice_under_one_key() -> None:
    effect = EffectFact(step=("a", 1), attempt=1, key="run:a:1", succeeded=True)
    assert _codes(dataclasses.replace(HISTORY, effects=(effect, effect)), ROWS) == {"EFFECT_TWICE"}


def test_lost_attempt_is_found_when_the_line_lacks_it() -> None:
    effect = EffectFact(step=("a", 1), attempt=1, key="run:a:1", succeeded=False)
    line = StepFact(status="running", seq=1, cost=Decimal(0), attempts={1: 1})
    history = dataclasses.replace(HISTORY, effects=(effect, effect))
    assert "ATTEMPT_MISSING" in _codes(history, dataclasses.replace(ROWS, steps={("a", 1): line}))
    later = dataclasses.replace(line, attempts={1: 2})
    assert "ATTEMPT_MISSING" not in _codes(history, dataclasses.replace(ROWS, steps={("a", 1): later}))


def test_second_decision_is_found_when_one_person_has_two_votes() -> None:
    line = StepFact(status="waiting", seq=1, cost=Decimal(0), votes=(("p", "approve"), ("p", "reject")))
    assert "DECIDED_TWICE" in _codes(HISTORY, dataclasses.replace(ROWS, steps={("a", 1): line}))


def test_status_is_found_when_the_workflow_was_terminated_and_the_row_goes_on() -> None:
    terminated = dataclasses.replace(HISTORY, closed="terminated")
    assert _codes(terminated, dataclasses.replace(ROWS, status="in_progress")) == {"STATUS_DIFFERS"}
    assert _codes(terminated, dataclasses.replace(ROWS, status="cancelled")) == set()


def test_line_of_a_step_without_a_flush_is_found_unless_the_run_was_terminated() -> None:
    """The reconciler writes the rows of a terminated run, votes included; any other run flushes them itself."""
    line = StepFact(status="cancelled", seq=1, cost=Decimal(0), votes=(("p", "approve"),))
    rows = dataclasses.replace(ROWS, status="cancelled", steps={("a", 1): line})
    cancelled = dataclasses.replace(HISTORY, closed="cancelled", flushes=(_last_flush("cancelled"),), decides=1)
    assert _codes(cancelled, rows) == {"LINE_OF_STEP_NEVER_RUN", "VOTE_FORGED"}
    terminated = dataclasses.replace(HISTORY, closed="terminated", decides=1)
    assert _codes(terminated, rows) == set()
    assert _codes(dataclasses.replace(terminated, decides=0), rows) == {"VOTE_WITHOUT_MESSAGE"}

"""The invariants between a run's history and its rows, one pure function each.

Must share no code with what writes the rows: a mistake there must not hide itself here.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import rfc8785

from playbooks.common.values import Json
from recovery.doctor.facts import FINISHED, Difference, FlushFact, HistoryFacts, Pair, RowFacts, StepFact, StepName

_FIRST_EVENT_LINE = 1_000_000
_GENESIS = "0" * 64
_EXACT = 2**53
_ENDED_BY_OTHERS = ("terminated", "timed_out")

Found: TypeAlias = tuple[str, str, object, object]
"""Code, subject, value by the history, value by the rows."""

BothSides: TypeAlias = Callable[[HistoryFacts, RowFacts], Iterator[Found]]


def status_follows_the_workflow(history: HistoryFacts, rows: RowFacts) -> Iterator[Found]:
    """A workflow is closed exactly where its row is finished, with the same status."""
    wanted = "cancelled" if history.closed in _ENDED_BY_OTHERS else history.closed
    if wanted == "running":
        last = _last_flush(history, rows)
        wanted = last.status if last is not None else "queued"
    if rows.status != wanted:
        yield "STATUS_DIFFERS", "run", wanted, rows.status


def result_equals_the_row(history: HistoryFacts, rows: RowFacts) -> Iterator[Found]:
    """The workflow's result repeats status, seq and a digest of the lines."""
    result = history.result
    if result is None:
        return
    if result.status != rows.status:
        yield "RESULT_STATUS_DIFFERS", "run", result.status, rows.status
    if result.seq != rows.seq:
        yield "RESULT_SEQ_DIFFERS", "run", result.seq, rows.seq
    made = _digest(history, rows)
    if result.digest != made:
        yield "RESULT_DIGEST_DIFFERS", "run", result.digest, made


def seq_and_cost_equal_the_last_flush(history: HistoryFacts, rows: RowFacts) -> Iterator[Found]:
    """The row has the values of the last completed flush."""
    last = _last_flush(history, rows)
    if last is None or _was_ended_by_others(history):
        return
    if rows.seq != last.seq:
        yield "SEQ_DIFFERS", "run", last.seq, rows.seq
    if rows.cost != last.cost:
        yield "COST_DIFFERS", "run", last.cost, rows.cost


def steps_that_ran_have_their_lines(history: HistoryFacts, rows: RowFacts) -> Iterator[Found]:
    """Each step that left `pending` has its line, and each line its step."""
    flushed = _steps(history, rows)
    for name, step in flushed.items():
        if step.status != "pending" and name not in rows.steps:
            yield "LINE_MISSING", _name(name), step.status, "no line"
    if not history.is_whole or _was_ended_by_others(history):
        return  # the reconciler wrote its last state, and cancelled the rest
    for name, line in rows.steps.items():
        if line.status != "pending" and (name not in flushed or flushed[name].status == "pending"):
            yield "LINE_OF_STEP_NEVER_RUN", _name(name), "never ran", line.status


def lines_equal_their_last_flush(history: HistoryFacts, rows: RowFacts) -> Iterator[Found]:
    """A line has the values of the last flush that carried its step."""
    if _was_ended_by_others(history):
        return
    for name, step in _steps(history, rows).items():
        line = rows.steps.get(name)
        if line is None:
            continue
        if line.status != step.status:
            yield "LINE_STATUS_DIFFERS", _name(name), step.status, line.status
        if line.seq != step.seq:
            yield "LINE_SEQ_DIFFERS", _name(name), step.seq, line.seq
        if line.cost != step.cost:
            yield "LINE_COST_DIFFERS", _name(name), step.cost, line.cost
        if line.attempts != step.attempts:
            yield "LINE_ATTEMPTS_DIFFER", _name(name), step.attempts, line.attempts


def dispatched_effects_have_their_attempts(history: HistoryFacts, rows: RowFacts) -> Iterator[Found]:
    """Each effect activity that was scheduled is an attempt of its line, those whose worker vanished included."""
    dispatched = Counter((effect.step, effect.attempt) for effect in history.effects)
    for (name, attempt), count in dispatched.items():
        line = rows.steps.get(name)
        if line is not None and line.attempts.get(attempt, 0) < count:
            recorded = line.attempts.get(attempt, 0)
            yield "ATTEMPT_MISSING", f"{_name(name)} attempt {attempt}", f"{count} dispatched", f"{recorded} recorded"


def no_effect_succeeds_twice(history: HistoryFacts, rows: RowFacts) -> Iterator[Found]:
    """One idempotency key, one success."""
    succeeded = Counter(effect.key for effect in history.effects if effect.succeeded)
    for key, count in succeeded.items():
        if count > 1:
            yield "EFFECT_TWICE", key, f"{count} successes", "one line"


def votes_are_those_that_were_cast(history: HistoryFacts, rows: RowFacts) -> Iterator[Found]:
    """A line's votes are the history's, and each came in by a signal or an update."""
    flushed = _steps(history, rows)
    for name, line in rows.steps.items():
        cast = Counter(flushed[name].votes if name in flushed else ())
        stored = Counter(line.votes)
        for vote in stored - cast if history.is_whole and not _was_ended_by_others(history) else ():
            yield "VOTE_FORGED", _name(name), "no such vote", " ".join(vote)
        for vote in cast - stored:
            yield "VOTE_MISSING", _name(name), " ".join(vote), "no such vote"
    votes = sum(len(line.votes) for line in rows.steps.values())
    if history.is_whole and votes > history.decides:
        yield "VOTE_WITHOUT_MESSAGE", "run", f"{history.decides} decision messages", f"{votes} votes"


def the_trail_tells_what_was_flushed(history: HistoryFacts, rows: RowFacts) -> Iterator[Found]:
    """Each entry that a flush carried is in the trail, and no other claims to come from the machine."""
    carried = {number: event for flush in _seen(history, rows) for number, event in flush.events.items()}
    stored: dict[int, tuple[str, str | None]] = {}
    for row in rows.events:
        number, step = row.entry.get("source_number"), row.entry.get("step")
        if isinstance(number, int):
            stored[number] = (str(row.entry.get("kind")), step if isinstance(step, str) else None)
    if not history.is_whole:
        return
    for number, event in carried.items():
        if number not in stored:
            yield "EVENT_MISSING", f"event {number}", event[0], "no entry"
        elif stored[number] != event:
            yield "EVENT_DIFFERS", f"event {number}", event, stored[number]
    for number in sorted(stored.keys() - carried.keys() - {1}):  # the API writes the first
        if not _was_ended_by_others(history):
            yield "EVENT_FORGED", f"event {number}", "no such event", stored[number]


BOTH_SIDES: tuple[BothSides, ...] = (
    status_follows_the_workflow,
    result_equals_the_row,
    seq_and_cost_equal_the_last_flush,
    steps_that_ran_have_their_lines,
    lines_equal_their_last_flush,
    dispatched_effects_have_their_attempts,
    no_effect_succeeds_twice,
    votes_are_those_that_were_cast,
    the_trail_tells_what_was_flushed,
)


def one_decision_per_person(rows: RowFacts, run: str) -> Iterator[Found]:
    """A person decides a task once."""
    for name, line in rows.steps.items():
        for person, count in Counter(person for person, _ in line.votes).items():
            if count > 1:
                yield "DECIDED_TWICE", _name(name), "one decision per person", f"{person}: {count}"


def cost_is_the_sum_of_the_lines(rows: RowFacts, run: str) -> Iterator[Found]:
    """A run costs what its steps cost."""
    total = sum((line.cost for line in rows.steps.values()), start=type(rows.cost)(0))
    if round(total, 4) != rows.cost:
        yield "COST_IS_NOT_THE_SUM", "run", f"lines: {total}", rows.cost


def the_chain_holds(rows: RowFacts, run: str) -> Iterator[Found]:
    """Entries are numbered without gaps, in order, each with its own hash and the one before."""
    previous = _GENESIS
    for number, row in enumerate(rows.events, start=1):
        entry, subject = row.entry, f"event {number}"
        if row.line_number != _FIRST_EVENT_LINE + number:
            yield "EVENT_GAP", subject, f"line {_FIRST_EVENT_LINE + number}", f"line {row.line_number}"
            return  # everything behind a gap is off by it
        if entry.get("number") != number:
            yield "EVENT_ORDER", subject, number, entry.get("number")
        if entry.get("previous_hash") != previous:
            yield "EVENT_LINK_BROKEN", subject, previous, entry.get("previous_hash")
        made = _hash(entry, run)
        if entry.get("hash") != made:
            yield "EVENT_HASH_BROKEN", subject, made, entry.get("hash")
        previous = str(entry.get("hash"))


def the_trail_ends_where_the_row_says(rows: RowFacts, run: str) -> Iterator[Found]:
    """No entry was cut off at the end: the run's row has the count and the last hash."""
    last = rows.events[-1].entry.get("hash") if rows.events else _GENESIS
    if (rows.head_count, rows.head_hash) != (len(rows.events), last):
        yield "TRAIL_CUT", "run", f"{rows.head_count} entries", f"{len(rows.events)} entries"


ROWS_ALONE: tuple[Callable[[RowFacts, str], Iterator[Found]], ...] = (
    one_decision_per_person,
    cost_is_the_sum_of_the_lines,
    the_chain_holds,
    the_trail_ends_where_the_row_says,
)


def a_run_has_one_row_and_one_workflow(pair: Pair) -> Iterator[Found]:
    """Every run that has flushed has a workflow, and every workflow has its row."""
    history, rows = pair.history, pair.rows
    if rows is None and history is not None:
        yield "ROW_MISSING", "run", history.closed, "no row"
    if history is None and rows is not None and rows.has_flushed:
        kinds = {str(row.entry.get("kind")) for row in rows.events}
        if "run_lost" not in kinds:  # a recorded loss is no difference
            yield "WORKFLOW_MISSING", "run", "no workflow", rows.status


def differences_of(pair: Pair, *, is_expired: bool = False) -> tuple[Difference, ...]:
    """Return all differences of one run. `is_expired`: Temporal may have deleted this workflow by now."""
    found: list[Found] = [] if is_expired else list(a_run_has_one_row_and_one_workflow(pair))
    if pair.rows is not None:
        for check in ROWS_ALONE:
            found.extend(check(pair.rows, str(pair.execution_id)))
        if pair.history is not None:
            for compare in BOTH_SIDES:
                found.extend(compare(pair.history, pair.rows))
    return tuple(
        Difference(
            code=code,
            organization_id=pair.organization_id,
            execution_id=pair.execution_id,
            subject=subject,
            history=str(history),
            rows=str(rows),
        )
        for code, subject, history, rows in found
    )


def _seen(history: HistoryFacts, rows: RowFacts) -> tuple[FlushFact, ...]:
    """Return the flushes that the rows must have; one in flight may be stored while its completion is not recorded."""
    return tuple(flush for flush in history.flushes if flush.is_done or flush.seq <= rows.seq)


def _last_flush(history: HistoryFacts, rows: RowFacts) -> FlushFact | None:
    seen = _seen(history, rows)
    return seen[-1] if seen else None


def _steps(history: HistoryFacts, rows: RowFacts) -> dict[StepName, StepFact]:
    return {name: step for flush in _seen(history, rows) for name, step in flush.steps.items()}


def _was_ended_by_others(history: HistoryFacts) -> bool:
    """Return whether the reconciler wrote the end, which the history does not have."""
    last = history.flushes[-1].status if history.flushes else "queued"
    return history.closed in _ENDED_BY_OTHERS or (history.closed != "running" and last not in FINISHED)


def _name(step: StepName) -> str:
    return step[0] if step[1] == 1 else f"{step[0]} visit {step[1]}"


def _digest(history: HistoryFacts, rows: RowFacts) -> str:
    """Hash key, last visit, status, number of attempts and cost of every step but items, in key order (SHA-256)."""
    last: dict[str, int] = {}
    for key, visit in rows.steps:
        if "[" in key:
            continue
        last[key] = max(visit, last.get(key, 0))
    parts: list[list[Any]] = []
    for key in sorted({*history.step_keys, *last}):
        step = rows.steps.get((key, last.get(key, 1)))
        if step is None:
            parts.append([key, 1, "pending", 0, "0"])
        else:
            parts.append([key, last[key], step.status, len(step.attempts), format(step.cost.normalize(), "f")])
    return hashlib.sha256(json.dumps(parts, separators=(",", ":")).encode()).hexdigest()


def _hash(entry: dict[str, Json], run: str) -> str:
    whole = {name: value for name, value in entry.items() if name != "hash"} | {"execution_id": run}
    return hashlib.sha256(rfc8785.dumps(_canonical(whole))).hexdigest()


def _canonical(value: Json) -> Any:
    """Make whole numbers from 2^53 on doubles: RFC 8785 knows doubles only."""
    if isinstance(value, dict):
        return {name: _canonical(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= _EXACT:
        return float(value)
    return value

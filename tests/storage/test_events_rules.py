"""The trail: hashes that anybody can check from the rows alone, no gaps, nothing of a client taken for ours."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from playbooks.common.values import Actor
from storage.database.tables import lines
from storage.runs.audit_trail import EventGapError, canonical_bytes, list_events
from storage.runs.projection import apply_flush
from tests.storage.samples import SEALER, Sample, event

_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
_VALUES = st.recursive(_SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


@given(_VALUES)
def test_canonical_bytes_are_those_of_the_standard_when_values_are_random(value: Any) -> None:
    try:
        expected = rfc8785.dumps(value)
    except UnicodeEncodeError:
        return  # half of a pair: quarantined before it comes here
    assert canonical_bytes(value) == expected


async def _apply(sample: Sample, run: UUID, seq: int, *numbers: Any) -> None:
    events = tuple(item if not isinstance(item, int) else event(item) for item in numbers)
    async with sample.database.writing(sample.organization_id) as session:
        await apply_flush(session, sample.flush(run, seq, events=events), sample.plan, SEALER)


async def _stored(sample: Sample, run: UUID) -> list[dict[str, Any]]:
    statement = select(lines.c.line_data, lines.c.line_number, lines.c.line_amount).where(
        lines.c.transaction_id == run, lines.c.line_type == "run_event"
    )
    async with sample.database.reading(sample.organization_id) as session:
        found = (await session.connection.execute(statement.order_by(lines.c.line_number))).mappings()
        return [dict(row) for row in found]


async def test_chain_is_checked_from_line_data_alone_when_numbers_are_awkward(sample: Sample) -> None:
    run = (await sample.insert()).row.execution_id
    awkward = {"f": 1.0, "e": 1e22, "i": 2**53 + 1, "m": -(2**63), "s": 1e-7, "z": -0.0, "u": "ü\u2028", "t": 0.1}
    await _apply(sample, run, 2, event(2, data=awkward), event(3, data={"é": [1, None]}))
    previous = "0" * 64
    rows = await _stored(sample, run)
    assert [row["line_number"] for row in rows] == [1_000_001, 1_000_002, 1_000_003]
    for row in rows:
        data = json.loads(json.dumps(row["line_data"]), parse_int=_as_double)
        assert row["line_amount"] == 0
        assert data["previous_hash"] == previous
        previous = data.pop("hash")
        assert hashlib.sha256(rfc8785.dumps(data)).hexdigest() == previous
        assert data["execution_id"] == str(run)


def _as_double(digits: str) -> int | float:
    return int(digits) if abs(int(digits)) < 2**53 else float(digits)


async def test_gap_is_refused_and_nothing_is_written_when_events_are_missing(sample: Sample) -> None:
    run = (await sample.insert()).row.execution_id
    await _apply(sample, run, 2, 2)
    for numbers in ((4,), (3, 5)):
        with pytest.raises(EventGapError):
            await _apply(sample, run, 3, *numbers)
    assert len(await _stored(sample, run)) == 2
    await _apply(sample, run, 3, 2, 3)
    assert [row["line_data"]["source_number"] for row in await _stored(sample, run)] == [1, 2, 3]


async def test_look_alike_in_an_event_is_shown_as_it_was_when_read(sample: Sample) -> None:
    run = (await sample.insert()).row.execution_id
    data: dict[str, Any] = {"input": {"$sealed": "of a client"}}
    await _apply(sample, run, 2, event(2, data=data))
    async with sample.database.reading(sample.organization_id) as session:
        found = (await list_events(session, run, after=1))[0]
    assert SEALER.open(found.data) == SEALER.redact(found.data) == data


async def test_actor_stays_known_when_the_name_cannot_be_stored(sample: Sample) -> None:
    run = (await sample.insert()).row.execution_id
    bad = Actor(id=UUID(int=9), name="Nul\x00", roles=("clerk",), via="ticket")
    await _apply(sample, run, 2, replace(event(2), actor=bad))
    async with sample.database.reading(sample.organization_id) as session:
        found = await list_events(session, run)
    assert found[1].actor is not None
    assert (found[1].actor.id, found[1].actor.roles, found[1].actor.via) == (bad.id, ("clerk",), "ticket")
    assert found[2].kind == "value_quarantined"

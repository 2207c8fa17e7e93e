"""Values stored apart: one line each, sealed by whoever gives them, of one run and one organization."""

from __future__ import annotations

import hashlib
import json
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from playbooks.common.errors import AlreadyExistsError, NotFoundError, ValidationError
from playbooks.common.values import Json, PayloadRef
from storage.database.tables import lines
from storage.runs.payloads import STORE_OVER_BYTES, load_payload, load_payloads, store_payload
from tests.conftest import MakeOrganization
from tests.storage.raw import add_line, connected
from tests.storage.samples import SEALER, Sample, published

LINE = 500_001


async def _store(sample: Sample, run: UUID, value: Json, line: int = LINE) -> PayloadRef:
    async with sample.database.writing(sample.organization_id) as session:
        return await store_payload(session, run, line, value)


async def _load(sample: Sample, run: UUID, ref: PayloadRef) -> Json:
    async with sample.database.reading(sample.organization_id) as session:
        return await load_payload(session, run, ref)


@pytest.mark.parametrize(
    "value",
    [{"a": "x" * STORE_OVER_BYTES, "b": [1, 1.5, None, True]}, "text", None, [], 5],
    ids=["large", "text", "null", "list", "number"],
)
async def test_value_comes_back_when_loaded(sample: Sample, value: Json) -> None:
    run = (await sample.insert()).row.execution_id
    ref = await _store(sample, run, value)
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    assert ref == PayloadRef(line_number=LINE, size_bytes=len(text), sha256=hashlib.sha256(text).hexdigest())
    assert await _load(sample, run, ref) == value


async def test_value_is_replaced_when_an_attempt_is_repeated(sample: Sample) -> None:
    run = (await sample.insert()).row.execution_id
    await _store(sample, run, {"n": 1})
    ref = await _store(sample, run, {"n": 2})
    assert await _load(sample, run, ref) == {"n": 2}
    async with sample.database.reading(sample.organization_id) as session:
        found = select(lines.c.line_type, lines.c.line_amount).where(lines.c.line_number == LINE)
        assert (await session.connection.execute(found)).all() == [("step_payload", 0)]


async def test_several_are_loaded_at_once_and_missing_ones_left_out(sample: Sample) -> None:
    run = (await sample.insert()).row.execution_id
    refs = [await _store(sample, run, number, 500_000 + number) for number in (1, 2)]
    missing = PayloadRef(line_number=500_009, size_bytes=1, sha256="")
    async with sample.database.reading(sample.organization_id) as session:
        assert await load_payloads(session, run, [*refs, missing]) == {500_001: 1, 500_002: 2}
    with pytest.raises(NotFoundError):
        await _load(sample, run, missing)


async def test_sealed_value_is_not_readable_when_it_was_stored(sample: Sample) -> None:
    run = (await sample.insert()).row.execution_id
    ref = await _store(sample, run, SEALER.seal({"pin": "4711-secret"}, ("/pin",)))
    stored = await _load(sample, run, ref)
    assert "4711-secret" not in json.dumps(stored)
    assert SEALER.open(stored) == {"pin": "4711-secret"}


async def test_storing_is_refused_when_run_is_elsewhere_or_value_is_poison(
    sample: Sample, new_organization: MakeOrganization
) -> None:
    run = (await sample.insert()).row.execution_id
    other = await published(sample.database, await new_organization("other"))
    ref = await _store(sample, run, 1)
    with pytest.raises(NotFoundError):
        await _store(other, run, 1)
    with pytest.raises(NotFoundError):
        await _load(other, run, ref)
    with pytest.raises(NotFoundError):
        await _store(sample, uuid4(), 1)
    for bad in ("\x00", "\ud800", float("nan")):
        with pytest.raises(ValidationError):
            await _store(sample, run, {"a": bad})


async def test_storing_is_refused_when_the_line_is_another_applications(
    sample: Sample, admin_database_url: str
) -> None:
    run = (await sample.insert()).row.execution_id
    async with connected(admin_database_url) as admin:
        await add_line(admin, sample.organization_id, run, LINE, "invoice_line")
    with pytest.raises(AlreadyExistsError):
        await _store(sample, run, {"n": 1})

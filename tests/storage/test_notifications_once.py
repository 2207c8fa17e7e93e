"""Notifications: recorded once under their key, undelivered, also when their data cannot be stored."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from playbooks.common.errors import NotFoundError
from playbooks.engine.model.temporal_messages import NotificationCall
from storage.database.tables import transactions
from storage.runs.notifications import record_notification
from tests.conftest import MakeOrganization
from tests.storage.samples import Sample, published


def _call(sample: Sample, run: UUID, **fields: Any) -> NotificationCall:
    values: dict[str, Any] = {"kind": "task_reminder", "key": f"{run}:reminder", "data": {"step": "register"}}
    return NotificationCall(
        organization_id=sample.organization_id,
        execution_id=run,
        playbook_id=sample.playbook_id,
        **{**values, **fields},
    )


async def _record(sample: Sample, call: NotificationCall) -> UUID:
    async with sample.database.writing(sample.organization_id) as session:
        return await record_notification(session, call)


async def _rows(sample: Sample) -> list[Any]:
    statement = select(transactions).where(transactions.c.transaction_type == "PLAYBOOK_NOTIFICATION")
    async with sample.database.reading(sample.organization_id) as session:
        return list((await session.connection.execute(statement)).mappings())


async def test_notification_is_one_undelivered_row_when_recorded_again(sample: Sample) -> None:
    run = (await sample.insert()).row.execution_id
    first = await _record(sample, _call(sample, run))
    assert await _record(sample, _call(sample, run, data={"step": "another"})) == first
    assert await _record(sample, _call(sample, run, key="other")) != first
    row = next(row for row in await _rows(sample) if row["id"] == first)
    assert len(await _rows(sample)) == 2
    assert (row["transaction_status"], row["total_amount"], row["target_entity_id"]) == (
        "undelivered",
        0,
        sample.playbook_id,
    )
    assert row["metadata"] == {
        "kind": "task_reminder",
        "data": {"step": "register", "execution_id": str(run)},
    }
    assert row["smart_code"] == "HERA.TESTING.PLAYBOOK.NOTIFICATION.TASK_REMINDER.V1"


async def test_notification_is_kept_without_its_data_when_that_cannot_be_stored(sample: Sample) -> None:
    run = (await sample.insert()).row.execution_id
    await _record(sample, _call(sample, run, data={"text": "\x00"}))
    (row,) = await _rows(sample)
    assert row["metadata"]["data"] == {"$quarantined": "INVALID_TEXT"}


async def test_notification_is_refused_when_the_run_is_not_here(
    sample: Sample, new_organization: MakeOrganization
) -> None:
    run = (await sample.insert()).row.execution_id
    other = await published(sample.database, await new_organization("other"))
    for where, which in ((sample, uuid4()), (other, run)):
        with pytest.raises(NotFoundError):
            await _record(where, _call(where, which))

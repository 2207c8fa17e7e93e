"""The row of a step's notification."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import select

from storage.database.sessions import Database
from storage.database.tables import transactions
from tests.activities.test_registry import perform
from tests.activities.world import make_world, step


async def test_notification_is_sealed_when_its_playbook_has_something_sensitive(
    database: Database, organization_id: UUID
) -> None:
    found = {"type": "object", "properties": {"iban": {"type": "string", "x-sensitive": True}}}
    config = {"message": "Paid to ${steps.a.output.iban}", "recipients": ["a@example.com"], "channels": ["email"]}
    steps = [
        step("A", 1, "data_processor", output_contract=found),
        step("Notify", 2, "notification_sender", config=config),
    ]
    world = await make_world(database, organization_id, steps)
    call = world.call("notify", {"input": {}, "steps": {"a": {"status": "completed", "output": {"iban": "DE00"}}}})
    await perform(world, "notification_sender", call)
    query = select(transactions.c.metadata).where(
        transactions.c.transaction_type == "PLAYBOOK_NOTIFICATION", transactions.c.target_entity_id == world.playbook_id
    )
    async with world.deps.database.reading(world.organization_id) as session:
        data = (await session.connection.execute(query)).scalar_one()["data"]
    assert "DE00" not in str(data)
    assert "example.com" not in str(data)
    assert data["channels"] == ["email"]
    opened = world.deps.sealer.open(data)
    assert isinstance(opened, dict)
    assert opened["message"] == "Paid to DE00"

"""Tasks: announced once, brought up to date by flushes, found by state, role, run, step and person."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import delete, func, select

from playbooks.common import ids
from playbooks.common.errors import NotFoundError, ValidationError
from playbooks.common.values import Json, PayloadRef
from playbooks.engine.model.state import StepState, TaskState, Vote
from playbooks.engine.model.temporal_messages import TaskCall
from storage.database.tables import entities, relationships
from storage.runs.payloads import store_payload
from storage.runs.projection import apply_flush
from storage.runs.step_lines import list_steps
from storage.runs.task_rows import TaskFilter, TaskRow, get_task, list_tasks
from storage.runs.tasks import open_task
from tests.conftest import MakeOrganization
from tests.storage.samples import ANNA, BEN, SEALER, T0, Sample, document, published, step


def _waiting(run: UUID, seq: int, task: TaskState | None = None, **changes: Any) -> StepState:
    opened = task or TaskState(
        id=ids.task_id(run, "register", 1), opened_at=T0, roles=("clerk",), due_at=T0 + timedelta(hours=1)
    )
    values: dict[str, Any] = {"status": "waiting", "completed_at": None, "output": None, "task": opened}
    return step("register", seq, **{**values, **changes})


async def _announce(sample: Sample, run: UUID, state: StepState) -> None:
    call = TaskCall(
        organization_id=sample.organization_id,
        execution_id=run,
        playbook_id=sample.playbook_id,
        seq=state.seq,
        step=state,
    )
    async with sample.database.writing(sample.organization_id) as session:
        await open_task(session, call, sample.plan, document(), SEALER)


async def _flush(sample: Sample, run: UUID, state: StepState, **more: Any) -> None:
    async with sample.database.writing(sample.organization_id) as session:
        await apply_flush(session, sample.flush(run, state.seq, state, **more), sample.plan, SEALER)


async def _get(sample: Sample, run: UUID) -> TaskRow:
    async with sample.database.reading(sample.organization_id) as session:
        return await get_task(session, ids.task_id(run, "register", 1))


async def _ids(sample: Sample, **filters: Any) -> list[UUID]:
    async with sample.database.reading(sample.organization_id) as session:
        return [row.execution_id for row in (await list_tasks(session, TaskFilter(**filters))).items]


def _voted(state: StepState, seq: int, **changes: Any) -> StepState:
    assert state.task is not None
    return replace(state, seq=seq, task=replace(state.task, **changes))


async def test_task_shows_what_a_person_needs_when_it_is_announced(sample: Sample) -> None:
    run = (await sample.insert()).row.execution_id
    await _announce(sample, run, _waiting(run, 2))
    row = await _get(sample, run)
    assert (row.execution_id, row.playbook_id, row.step_key, row.visit) == (run, sample.playbook_id, "register", 1)
    assert (row.title, row.description, row.state, row.decision) == ("Register", "Look at it.", "open", None)
    assert (row.opened_at, row.due_at, row.required_roles) == (T0, T0 + timedelta(hours=1), ("clerk",))
    assert (row.approvals_required, row.approvals_received, row.max_voters) == (2, 0, 3)
    assert row.form == document().steps[0].output_contract
    assert SEALER.redact(row.input) == {"secret": "***"}
    assert SEALER.open(row.input) == {"secret": "s3cret"}
    async with sample.database.reading(sample.organization_id) as session:
        related = select(relationships.c.to_entity_id).where(relationships.c.relationship_type == "task_of_step")
        assert (await session.connection.execute(related)).scalars().all() == [sample.plan.steps[0].step_id]


async def test_announcing_again_changes_nothing_when_the_task_moved_on(sample: Sample) -> None:
    run = (await sample.insert()).row.execution_id
    opened = _waiting(run, 2)
    await _announce(sample, run, opened)
    await _flush(sample, run, _voted(opened, 3, claimant=BEN, claimed_at=T0, claims=(BEN.id,)))
    before = await _get(sample, run)
    await _announce(sample, run, opened)
    assert await _get(sample, run) == before
    assert (before.state, before.claimant, before.seq) == ("claimed", BEN, 3)
    async with sample.database.reading(sample.organization_id) as session:
        kinds = select(func.count()).where(entities.c.entity_type == "playbook_task")
        assert (await session.connection.execute(kinds)).scalar_one() == 1


async def test_task_catches_up_when_the_flush_was_faster_than_its_announcement(sample: Sample) -> None:
    run = (await sample.insert()).row.execution_id
    opened = _waiting(run, 2)
    vote = Vote(actor=BEN, choice="reject", at=T0, comment="no")
    closed = _voted(opened, 5, votes=(vote,), decision="rejected", closed_at=T0)
    await _flush(sample, run, replace(closed, status="completed"))
    with pytest.raises(NotFoundError):
        await _get(sample, run)
    await _announce(sample, run, opened)
    row = await _get(sample, run)
    assert (row.state, row.decision, row.closed_at, row.seq) == ("completed", "rejected", T0, 5)


async def test_votes_are_counted_and_their_forms_sealed_when_people_decide(sample: Sample) -> None:
    run = (await sample.insert()).row.execution_id
    opened = _waiting(run, 2)
    await _announce(sample, run, opened)
    votes = (
        Vote(actor=ANNA, choice="approve", at=T0, comment="fine", data={"pin": "1234", "n": 1}),
        Vote(actor=BEN, choice="abstain", at=T0),
    )
    await _flush(sample, run, _voted(opened, 4, votes=votes))
    row = await _get(sample, run)
    assert (row.approvals_received, [vote["choice"] for vote in row.votes]) == (1, ["approve", "abstain"])
    assert SEALER.redact(row.votes[0]["data"]) == {"pin": "***", "n": 1}
    assert SEALER.open(row.votes[0]["data"]) == {"pin": "1234", "n": 1}
    async with sample.database.reading(sample.organization_id) as session:
        stored = select(entities.c.metadata).where(entities.c.id == row.task_id)
        assert "1234" not in str((await session.connection.execute(stored)).scalar_one())


@pytest.mark.parametrize(
    ("status", "task", "state"),
    [
        ("waiting", {}, "open"),
        ("waiting", {"escalated": True, "roles": ("clerk", "boss")}, "open"),
        ("waiting", {"claimant": BEN}, "claimed"),
        ("completed", {"decision": "timed_out", "closed_at": T0}, "completed"),
        ("failed", {"decision": "rejected", "closed_at": T0}, "completed"),
        ("cancelled", {}, "cancelled"),
        ("waiting", {"claimant": BEN, "closed_at": T0}, "cancelled"),
    ],
)
async def test_state_follows_the_step_when_it_is_flushed(
    sample: Sample, status: Any, task: dict[str, Any], state: str
) -> None:
    run = (await sample.insert()).row.execution_id
    opened = _waiting(run, 2)
    await _announce(sample, run, opened)
    await _flush(sample, run, replace(_voted(opened, 3, **task), status=status))
    row = await _get(sample, run)
    assert row.state == state
    assert row.required_roles == task.get("roles", ("clerk",))
    assert row.escalated is task.get("escalated", False)


async def test_older_flush_leaves_the_task_when_a_newer_was_applied(sample: Sample) -> None:
    run = (await sample.insert()).row.execution_id
    opened = _waiting(run, 2)
    await _announce(sample, run, opened)
    await _flush(sample, run, _voted(opened, 6, claimant=BEN))
    await _flush(sample, run, _voted(opened, 4))
    assert (await _get(sample, run)).state == "claimed"
    # Nor does a newer flush that carries an older state of this step.
    async with sample.database.writing(sample.organization_id) as session:
        await apply_flush(session, sample.flush(run, 7, _voted(opened, 5)), sample.plan, SEALER)
        steps = await list_steps(session, run)
    assert (await _get(sample, run)).state == "claimed"
    assert [row.seq for row in steps] == [6]
    # A reset goes back: the newer execution is right, though its seq is lower.
    await _flush(sample, run, _voted(opened, 4), workflow="second")
    assert (await _get(sample, run)).state == "open"


async def test_tasks_are_found_by_each_filter_when_listed(sample: Sample) -> None:
    runs = [(await sample.insert()).row.execution_id for _ in range(4)]
    for minute, run in enumerate(runs):
        state = _waiting(run, 2)
        assert state.task is not None
        await _announce(sample, run, replace(state, task=replace(state.task, opened_at=T0 + timedelta(minutes=minute))))
    at = T0 + timedelta(minutes=1)
    await _flush(sample, runs[1], _voted(_waiting(runs[1], 3), 3, opened_at=at, claimant=BEN, claims=(BEN.id,)))
    await _flush(sample, runs[2], _voted(_waiting(runs[2], 3), 3, roles=("clerk", "boss"), escalated=True))
    await _flush(sample, runs[3], replace(_waiting(runs[3], 3), status="cancelled"))
    assert await _ids(sample) == runs[::-1]
    assert await _ids(sample, states=("open",)) == [runs[2], runs[0]]
    assert await _ids(sample, states=("open", "claimed")) == [runs[2], runs[1], runs[0]]
    assert await _ids(sample, roles=("boss", "nobody")) == [runs[2]]
    assert await _ids(sample, roles=("nobody",)) == []
    assert await _ids(sample, execution_id=runs[0]) == [runs[0]]
    assert await _ids(sample, claimed_by=BEN.id) == [runs[1]]
    assert await _ids(sample, claimed_by=ANNA.id) == []
    assert await _ids(sample, step_key="check") == []
    assert len(await _ids(sample, step_key="register")) == 4
    assert await _ids(sample, limit=1, offset=2) == [runs[1]]


async def test_cursor_neither_repeats_nor_loses_when_tasks_are_added(sample: Sample) -> None:
    runs = [(await sample.insert()).row.execution_id for _ in range(5)]
    for run in runs:
        await _announce(sample, run, _waiting(run, 2))
    seen: list[UUID] = []
    cursor = None
    while True:
        async with sample.database.reading(sample.organization_id) as session:
            page = await list_tasks(session, TaskFilter(limit=2, cursor=cursor))
        seen += [row.execution_id for row in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
        new = (await sample.insert()).row.execution_id
        state = _waiting(new, 2)
        assert state.task is not None
        await _announce(sample, new, replace(state, task=replace(state.task, opened_at=T0 + timedelta(days=1))))
    assert sorted(seen) == sorted(runs)
    async with sample.database.reading(sample.organization_id) as session:
        with pytest.raises(ValidationError):
            await list_tasks(session, TaskFilter(cursor="bm9uc2Vuc2U"))


async def test_review_shows_input_and_proposal_when_they_were_stored_apart(sample: Sample) -> None:
    run = (await sample.insert()).row.execution_id
    refs: dict[int, PayloadRef] = {}
    for line, value in {700_001: {"secret": "s", "big": 1}, 500_001: {"pin": "9", "big": 2}}.items():
        async with sample.database.writing(sample.organization_id) as session:
            sealed: Json = SEALER.seal(value, ("/secret", "/pin"))
            refs[line] = await store_payload(session, run, line, sealed)
    task = TaskState(id=ids.task_id(run, "register", 1), opened_at=T0, roles=("clerk",), is_review=True)
    await _announce(sample, run, _waiting(run, 2, task, input=refs[700_001], output=refs[500_001]))
    row = await _get(sample, run)
    assert (SEALER.redact(row.input), SEALER.redact(row.proposal)) == (
        {"secret": "***", "big": 1},
        {"pin": "***", "big": 2},
    )
    assert row.is_review


async def test_task_is_announced_when_the_definition_is_gone(sample: Sample) -> None:
    run = (await sample.insert()).row.execution_id
    async with sample.database.writing(sample.organization_id) as session:
        await session.connection.execute(delete(entities).where(entities.c.id == sample.plan.steps[0].step_id))
    await _announce(sample, run, _waiting(run, 2))
    assert (await _get(sample, run)).state == "open"


async def test_poison_does_not_keep_a_task_from_people_when_its_input_cannot_be_stored(sample: Sample) -> None:
    run = (await sample.insert()).row.execution_id
    await _announce(sample, run, _waiting(run, 2, input={"text": "nul \x00"}))
    assert (await _get(sample, run)).input == {"$quarantined": "INVALID_TEXT"}


async def test_task_is_not_there_when_organization_is_another(
    sample: Sample, new_organization: MakeOrganization
) -> None:
    run = (await sample.insert()).row.execution_id
    await _announce(sample, run, _waiting(run, 2))
    other = await published(sample.database, await new_organization("other"))
    with pytest.raises(NotFoundError):
        await _get(other, run)
    assert await _ids(other) == []
    with pytest.raises(NotFoundError):
        await _announce(other, run, _waiting(run, 2))
    with pytest.raises(NotFoundError):
        await _announce(sample, uuid4(), _waiting(run, 2))

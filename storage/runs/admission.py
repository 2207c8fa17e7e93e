"""Runs: taking one in, finding those that still wait for their workflow, cancelling those that never got one.

Owns the insertion of a run's row and what the API and the sweeper may do to a run whose workflow has not spoken yet.
After the first flush only `projection.py` writes the row. Invariant: one row for an id, whoever repeats the request.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.dialects.postgresql import insert

from playbooks.common.errors import IdempotencyKeyReusedError, NotFoundError, ValidationError
from playbooks.common.errors import error as problem
from playbooks.common.values import Actor, JsonObject
from playbooks.engine.model.temporal_messages import RunInput
from storage.database import json_columns
from storage.database.line_writes import insert_lines
from storage.database.quarantine import refuse_poison
from storage.database.sealing import Sealer
from storage.database.sessions import ReadSession, RecoverySession, WriteSession
from storage.database.tables import entities, transactions
from storage.playbooks.plans import get_plan
from storage.runs.audit_trail import ChainHead, NewEvent, append_events, event_line, link_events
from storage.runs.concurrency import enter, leave
from storage.runs.labels import label_lines
from storage.runs.lists import is_live_run
from storage.runs.payloads import industry_of
from storage.runs.run_rows import (
    RUN_COLUMNS,
    RUN_TYPE,
    RunRow,
    get_run,
    head_from_json,
    head_to_json,
    is_run,
    read_run,
    start_from_json,
    start_to_json,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """A run to be taken in. `request_hash` tells a repeat of the request from another one under the same id.

    `sensitive_input`: JSON Pointers that are sensitive beside those that the plan marks.
    """

    input: RunInput
    request_hash: str | None = None
    correlation_id: str | None = None
    subject_entity_id: UUID | None = None
    accepted_at: datetime | None = None
    sensitive_input: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class InsertedRun:
    """The run's row; `was_created` is false where an earlier request had made it."""

    row: RunRow
    was_created: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveRun:
    """A run that is not over. `is_queued`: its workflow has not spoken."""

    execution_id: UUID
    is_queued: bool


async def insert_run(session: WriteSession, run: NewRun, sealer: Sealer) -> InsertedRun:
    """Store a run as `queued`, with its labels and its first event.

    Repeating it finds the first row. Raises IdempotencyKeyReusedError when the id belongs to another request,
    NotFoundError when there is no such playbook here, DuplicateExecutionError when its key has no room and its policy
    refuses it then, ValidationError for a subject that is not here or values that cannot be stored.
    """
    start, accepted_at = run.input, run.accepted_at or datetime.now(UTC)
    _refuse_poison(run)
    await _check_references(session, run)
    if start.slot is not None:
        accepted_at = await enter(session, start.slot, start.execution_id, accepted_at)
    plan = start.plan
    data: JsonObject = {"playbook_id": str(plan.playbook_id), "playbook": plan.code, "version": plan.version}
    queued = NewEvent(at=accepted_at, kind="run_queued", actor=start.initiator, data=data, source_number=1)
    entries, head = link_events(start.execution_id, ChainHead(), [queued])
    statement = insert(transactions).values(
        id=start.execution_id,
        organization_id=session.organization_id,
        transaction_type=RUN_TYPE,
        transaction_status="queued",
        transaction_date=accepted_at,
        source_entity_id=run.subject_entity_id,
        target_entity_id=plan.playbook_id,
        total_amount=0,
        external_reference=run.correlation_id,
        smart_code=plan.run_smart_code,
        transaction_currency_code=plan.currency,
        business_context={
            "input": sealer.seal(start.input, (*plan.sensitive_input, *run.sensitive_input)),
            "start": start_to_json(start),
            "playbook": {"code": plan.code, "name": plan.name, "version": plan.version},
            "request_hash": run.request_hash,
        },
        metadata={
            "epoch": 0,
            "temporal_run_ids": [],
            "priority": start.priority,
            "total_steps": len(plan.steps),
            "success_rate": 0,
            "variables": start.variables,
            "step_statuses": {},
            "events": head_to_json(head),
            **({} if start.slot is None else {"slot": start.slot.label}),
        },
        created_at=accepted_at,
        updated_at=accepted_at,
        created_by=start.initiator.id,
        updated_by=start.initiator.id,
        version=0,
    )
    made = await session.connection.execute(
        statement.on_conflict_do_nothing(index_elements=["id"]).returning(*RUN_COLUMNS)
    )
    row = made.mappings().one_or_none()
    if row is None:
        return InsertedRun(row=await _same_request(session, run), was_created=False)
    labels = label_lines(session, start, accepted_at)
    events = [event_line(session, start.execution_id, plan.industry, entry) for entry in entries]
    await insert_lines(session, [*labels, *events])
    return InsertedRun(row=read_run(row), was_created=True)


async def get_run_input(session: ReadSession, execution_id: UUID, sealer: Sealer) -> RunInput:
    """What the run was started with, opened and with its plan, to start its workflow. Raises NotFoundError."""
    statement = select(transactions.c.business_context, transactions.c.target_entity_id).where(
        is_run(session.organization_id), transactions.c.id == execution_id
    )
    row = (await session.connection.execute(statement)).mappings().one_or_none()
    if row is None:
        raise NotFoundError("there is no such run")
    fixed = json_columns.as_object(row["business_context"])
    plan = await get_plan(session, row["target_entity_id"])
    opened = json_columns.as_object(sealer.open(fixed.get("input")))
    return start_from_json(json_columns.as_object(fixed.get("start")), plan, opened)


async def lock_queued(session: WriteSession, execution_id: UUID) -> bool:
    """Whether the run still waits for its workflow; its row is then held until the transaction ends.

    False also where somebody else holds it: whoever holds it starts it or cancels it.
    """
    statement = (
        select(transactions.c.id)
        .where(is_run(session.organization_id), transactions.c.id == execution_id)
        .where(transactions.c.transaction_status == "queued", transactions.c.version == 0)
        .with_for_update(skip_locked=True)
    )
    return (await session.connection.execute(statement)).first() is not None


async def cancel_queued(session: WriteSession, execution_id: UUID, actor: Actor, reason: str | None) -> bool:
    """Cancel a run whose workflow has not spoken. False where it has, or the run is finished, or is not here.

    Its seq stays 0: a workflow that starts all the same meets the cancelled row at its first flush, and cancels.
    """
    refuse_poison("the reason", reason, "/reason")
    at = datetime.now(UTC)
    statement = (
        update(transactions)
        .where(is_run(session.organization_id), transactions.c.id == execution_id)
        .where(transactions.c.transaction_status == "queued", transactions.c.version == 0)
        .values(transaction_status="cancelled", updated_at=at, updated_by=actor.id)
        .returning(transactions.c.metadata, transactions.c.smart_code)
    )
    row = (await session.connection.execute(statement)).mappings().one_or_none()
    if row is None:
        return False
    moving = json_columns.as_object(row["metadata"])
    await leave(session, execution_id, moving)
    head = head_from_json(moving.get("events"))
    event = NewEvent(at=at, kind="run_cancelled", actor=actor, data={"reason": reason, "before_start": True})
    head = await append_events(session, execution_id, industry_of(row["smart_code"]), head, [event])
    await _set_metadata(session, execution_id, {"events": head_to_json(head), "cancel_reason": reason})
    return True


async def count_live_runs(session: ReadSession, playbook_id: UUID) -> int:
    """How many runs of this playbook version are not finished."""
    live = select(transactions.c.id).where(_is_live(session, playbook_id)).subquery()
    return (await session.connection.execute(select(func.count()).select_from(live))).scalar_one()


async def list_live_runs(session: ReadSession, playbook_id: UUID, *, limit: int) -> tuple[LiveRun, ...]:
    """Runs of this playbook version that are not finished, in the order of their ids."""
    table = transactions.c
    statement = (
        select(table.id, table.transaction_status, table.version)
        .where(_is_live(session, playbook_id))
        .order_by(table.id)
        .limit(limit)
    )
    found = (await session.connection.execute(statement)).mappings()
    return tuple(
        LiveRun(execution_id=row["id"], is_queued=row["transaction_status"] == "queued" and not row["version"])
        for row in found
    )


async def find_queued(
    session: RecoverySession, older_than: timedelta, limit: int = 100
) -> tuple[tuple[UUID, UUID], ...]:
    """Organization and run ids of runs that have waited for their workflow for longer, oldest first."""
    statement = (
        select(transactions.c.organization_id, transactions.c.id)
        .where(transactions.c.transaction_type == RUN_TYPE, transactions.c.transaction_status == "queued")
        .where(transactions.c.version == 0, transactions.c.created_at < func.now() - older_than)
        .order_by(transactions.c.created_at)
        .limit(limit)
    )
    found = (await session.connection.execute(statement)).mappings()
    return tuple((row["organization_id"], row["id"]) for row in found)


def _is_live(session: ReadSession, playbook_id: UUID) -> ColumnElement[bool]:
    # By the index of unfinished runs: how many there ever were of the version must not show in what this costs.
    return is_live_run(session.organization_id) & (transactions.c.target_entity_id == playbook_id)


async def _same_request(session: ReadSession, run: NewRun) -> RunRow:
    # An id that is taken and not visible belongs to another organization: to this one it does not exist.
    row = await get_run(session, run.input.execution_id)
    if row.request_hash != run.request_hash:
        raise IdempotencyKeyReusedError("the idempotency key was used for another request")
    return row


def _refuse_poison(run: NewRun) -> None:
    start = run.input
    refuse_poison("the input", start.input, "/input_data")
    refuse_poison("the variables", start.variables, "/execution_options/context_variables")
    refuse_poison("the tags", list(start.tags), "/execution_context/tags")
    refuse_poison("the correlation id", run.correlation_id, "/execution_context/correlation_id")
    refuse_poison("the notification settings", start.notification, "/execution_options/notification_settings")
    refuse_poison("the name", start.initiator.name)


async def _check_references(session: WriteSession, run: NewRun) -> None:
    """Foreign keys do not look at policies, so ids from outside are read under them first."""
    wanted = [run.input.plan.playbook_id, *([run.subject_entity_id] if run.subject_entity_id else [])]
    statement = select(entities.c.id).where(
        entities.c.organization_id == session.organization_id, entities.c.id.in_(wanted)
    )
    found = set((await session.connection.execute(statement)).scalars())
    if run.input.plan.playbook_id not in found:
        raise NotFoundError("there is no such playbook")
    if run.subject_entity_id is not None and run.subject_entity_id not in found:
        missing = problem("/execution_context/subject_entity_id", "NOT_FOUND", "there is no such entity")
        raise ValidationError("the subject is not there", (missing,))


async def _set_metadata(session: WriteSession, execution_id: UUID, members: JsonObject) -> None:
    statement = (
        update(transactions)
        .where(is_run(session.organization_id), transactions.c.id == execution_id)
        .values(metadata=transactions.c.metadata.concat(members))
    )
    await session.connection.execute(statement)

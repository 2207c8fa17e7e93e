"""Accepts runs, for a request and for a step that starts one: from the check of the input to the row.

After the first flush only `projection.py` writes the row. Invariant: one row for an id, however often the request is
repeated.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from playbooks.common.errors import (
    IdempotencyKeyReusedError,
    NotFoundError,
    ValidationError,
)
from playbooks.common.errors import error as problem
from playbooks.common.json_values import canonical
from playbooks.common.values import JsonObject
from playbooks.document.model import PlaybookDocument
from playbooks.engine.model.temporal_messages import RunInput
from playbooks.evaluation.admission import check_input, slot_of
from storage.database.line_writes import insert_lines
from storage.database.quarantine import refuse_poison
from storage.database.sealing import Sealer
from storage.database.sessions import ReadSession, WriteSession
from storage.database.tables import entities, transactions
from storage.runs.audit_trail import ChainHead, NewEvent, event_line, link_events
from storage.runs.concurrency import admit
from storage.runs.conditions import RUN_TYPE
from storage.runs.labels import label_lines
from storage.runs.run_json import RunMetadata, metadata_to_json, new_context
from storage.runs.run_rows import RUN_COLUMNS, RunRow, get_run, get_run_input, read_run


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptRun:
    """A requested run of the version `document`; its concurrency limit (`input.slot`) follows from the document.

    `request`: a repeat under the same id has to be equal to it. `is_repeat`: the id exists already. `pointer`: place of
    the input in what was sent. `sensitive_input`: JSON Pointers that are sensitive beside those of the plan.
    `limits_above`: labels of concurrency limits within which a run waits for this one.
    """

    input: RunInput
    document: PlaybookDocument
    request: JsonObject
    is_repeat: bool = False
    pointer: str = "/input_data"
    correlation_id: str | None = None
    subject_entity_id: UUID | None = None
    sensitive_input: tuple[str, ...] = ()
    limits_above: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedRun:
    """The run as stored. `was_created` is false where an earlier request had made it."""

    input: RunInput
    row: RunRow
    was_created: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """A run to be inserted. `request_hash` distinguishes a repeat of the request from another one under the same id."""

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


async def accept_run(session: WriteSession, run: AcceptRun, sealer: Sealer) -> AcceptedRun:
    """Check and store a run, which will start once the transaction has committed. A repeat finds the stored run.

    Raises InputContractError, LimitExceededError, and what `insert_run` raises.
    """
    start = run.input
    if not run.is_repeat:
        check_input(run.document, start.input, run.pointer)
        limit = slot_of(run.document, start.input, run.pointer)
        start = replace(start, slot=None if limit is None or limit.label in run.limits_above else limit)
    new = NewRun(
        input=start,
        request_hash=hashlib.sha256(canonical(run.request).encode()).hexdigest(),
        correlation_id=run.correlation_id,
        subject_entity_id=run.subject_entity_id,
        sensitive_input=run.sensitive_input,
    )
    inserted = await insert_run(session, new, sealer)
    if not inserted.was_created:
        start = await get_run_input(session, start.execution_id, sealer)
    return AcceptedRun(input=start, row=inserted.row, was_created=inserted.was_created)


async def insert_run(session: WriteSession, run: NewRun, sealer: Sealer) -> InsertedRun:
    """Store a run as `queued`, with its labels and its first event. A repeat finds the first row.

    Raises IdempotencyKeyReusedError when the id belongs to another request, NotFoundError when there is no such
    playbook here, DuplicateExecutionError when its concurrency limit is reached and rejects it, ValidationError for a
    subject that is not here or a name that cannot be stored.
    """
    start, accepted_at = run.input, run.accepted_at or datetime.now(UTC)
    # All else was checked where it came in: a request's body by the API, a step's input when it was evaluated.
    refuse_poison("the name", start.initiator.name)
    await _check_references(session, run)
    if start.slot is not None:
        accepted_at = await admit(session, start.slot, start.execution_id, accepted_at)
    plan = start.plan
    data: JsonObject = {"playbook_id": str(plan.playbook_id), "playbook": plan.code, "version": plan.version}
    queued = NewEvent(at=accepted_at, kind="run_queued", actor=start.initiator, data=data, source_number=1)
    entries, head = link_events(start.execution_id, ChainHead(), [queued])
    metadata = RunMetadata(
        priority=start.priority,
        total_steps=len(plan.steps),
        variables=start.variables,
        slot=None if start.slot is None else start.slot.label,
        events=head,
    )
    sealed_input = sealer.seal(start.input, (*plan.sensitive_input, *run.sensitive_input))
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
        business_context=new_context(start, sealed_input, run.request_hash),
        metadata=metadata_to_json(metadata),
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


async def _same_request(session: ReadSession, run: NewRun) -> RunRow:
    # An id that is taken and not visible belongs to another organization: to this one it does not exist.
    row = await get_run(session, run.input.execution_id)
    if row.request_hash != run.request_hash:
        raise IdempotencyKeyReusedError("the idempotency key was used for another request")
    return row


async def _check_references(session: WriteSession, run: NewRun) -> None:
    """Read the ids that came from outside: foreign keys are checked without the policies of organizations."""
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

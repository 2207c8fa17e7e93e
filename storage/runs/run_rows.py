"""Reads a run by its id: its row, or the input of its workflow."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

from sqlalchemy import RowMapping, Select, select

from playbooks.common.errors import NotFoundError
from playbooks.common.values import FINISHED_RUN, Actor, Json, JsonObject, PayloadRef, Priority, RunStatus, StepError
from playbooks.engine.model.state import PauseState
from playbooks.engine.model.temporal_messages import ParentRun, RunInput
from storage.database import json_columns
from storage.database.sealing import Sealer
from storage.database.sessions import ReadSession
from storage.database.tables import transactions
from storage.playbooks.plans import get_plan
from storage.runs.audit_trail import ChainHead
from storage.runs.conditions import is_run
from storage.runs.run_json import Stuck, read_context, read_metadata, read_run_input


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """One run as stored. `input`, `output` are sealed at their sensitive pointers.

    `accepted_at` is when it was accepted, `started_at` when its workflow began. `step_statuses` has the newest status
    of each step that left `pending`. `parent` is the run that started it; `waiting_for` says what an unfinished run
    waits for before its first step.
    """

    execution_id: UUID
    organization_id: UUID
    playbook_id: UUID
    playbook_code: str
    playbook_name: str
    playbook_version: int
    status: RunStatus
    seq: int
    epoch: int
    priority: Priority
    tags: tuple[str, ...]
    initiator: Actor
    correlation_id: str | None
    subject_entity_id: UUID | None
    accepted_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    cost: Decimal
    currency: str | None
    total_steps: int
    completed_steps: int
    failed_steps: int
    skipped_steps: int
    current_step: str | None
    step_statuses: dict[str, str]
    open_incidents: int
    input: JsonObject
    output: Json
    output_ref: PayloadRef | None
    error: StepError | None
    variables: JsonObject
    pause: PauseState | None
    cancel_reason: str | None
    stuck: Stuck | None
    digest: str | None
    max_retries: int | None
    timeout_minutes: float | None
    debug: bool
    notification: JsonObject | None
    request_hash: str | None
    temporal_run_ids: tuple[str, ...]
    events: ChainHead
    parent: ParentRun | None = None
    slot_label: str | None = None
    waiting_for: str | None = None


RUN_COLUMNS = tuple(
    transactions.c[name]
    for name in (
        "id",
        "organization_id",
        "target_entity_id",
        "source_entity_id",
        "external_reference",
        "transaction_status",
        "transaction_date",
        "total_amount",
        "transaction_currency_code",
        "business_context",
        "metadata",
        "version",
        "created_at",
        "updated_at",
    )
)
"""All that `read_run` needs."""


def select_runs(organization_id: UUID) -> Select[*tuple[Any, ...]]:
    """The organization's runs, as `read_run` reads them."""
    return select(*RUN_COLUMNS).where(is_run(organization_id))


async def find_run(session: ReadSession, execution_id: UUID) -> RunRow | None:
    """The run, or None where there is none, also for another organization's id."""
    statement = select_runs(session.organization_id).where(transactions.c.id == execution_id)
    row = (await session.connection.execute(statement)).mappings().one_or_none()
    return None if row is None else read_run(row)


async def get_run(session: ReadSession, execution_id: UUID) -> RunRow:
    """The run. Raises NotFoundError, also for another organization's id."""
    row = await find_run(session, execution_id)
    if row is None:
        raise NotFoundError("there is no such run")
    return row


async def get_run_input(session: ReadSession, execution_id: UUID, sealer: Sealer) -> RunInput:
    """The input of the run's workflow, opened and with its plan. Raises NotFoundError."""
    table = transactions.c
    statement = select(table.business_context, table.target_entity_id).where(
        is_run(session.organization_id), table.id == execution_id
    )
    row = (await session.connection.execute(statement)).mappings().one_or_none()
    if row is None:
        raise NotFoundError("there is no such run")
    plan = await get_plan(session, row["target_entity_id"])
    opened = sealer.open(read_context(row["business_context"]).input)
    return read_run_input(row["business_context"], plan, json_columns.as_object(opened))


def count_statuses(statuses: dict[str, str]) -> dict[str, int]:
    """Numbers of completed, failed and skipped steps, as RunRow names them."""
    values = list(statuses.values())
    return {f"{status}_steps": values.count(status) for status in ("completed", "failed", "skipped")}


def read_run(row: RowMapping) -> RunRow:
    """The row that `select_runs` found. Raises ValueError where it has no initiator."""
    context, metadata = read_context(row["business_context"]), read_metadata(row["metadata"])
    start, playbook = context.start, context.playbook
    status = cast("RunStatus", row["transaction_status"])
    is_finished = status in FINISHED_RUN
    return RunRow(
        execution_id=row["id"],
        organization_id=row["organization_id"],
        playbook_id=row["target_entity_id"],
        playbook_code=playbook.code,
        playbook_name=playbook.name,
        playbook_version=playbook.version,
        status=status,
        seq=row["version"] or 0,
        epoch=metadata.epoch,
        priority=metadata.priority,
        tags=start.tags,
        initiator=start.initiator,
        correlation_id=row["external_reference"],
        subject_entity_id=row["source_entity_id"],
        accepted_at=row["created_at"],
        started_at=row["transaction_date"] if metadata.has_started else None,
        completed_at=row["updated_at"] if is_finished else None,
        cost=row["total_amount"],
        currency=row["transaction_currency_code"],
        total_steps=metadata.total_steps,
        **count_statuses(metadata.step_statuses),
        current_step=metadata.current_step,
        step_statuses=metadata.step_statuses,
        open_incidents=metadata.open_incidents,
        input=context.input,
        output=context.output,
        output_ref=context.output_ref,
        error=context.error,
        variables=metadata.variables,
        pause=metadata.pause,
        cancel_reason=metadata.cancel_reason,
        stuck=metadata.stuck,
        digest=metadata.digest,
        max_retries=start.max_retries,
        timeout_minutes=start.timeout_minutes,
        debug=start.debug,
        notification=start.notification,
        request_hash=context.request_hash,
        temporal_run_ids=metadata.temporal_run_ids,
        events=metadata.events,
        parent=start.parent,
        slot_label=None if start.slot is None else start.slot.label,
        waiting_for=None if is_finished else metadata.waiting_for,
    )

"""A run's row: its columns and the two JSON columns beside them.

`business_context` holds what never changes after the start (input, options, who and when) and the output at the end;
`metadata` holds what each flush rewrites, so it stays small. Owns both shapes and how they are read back. Must not know
when a row may be written.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, cast
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import BindParameter, ColumnElement, RowMapping, Select, select

from playbooks.common.errors import NotFoundError
from playbooks.common.values import FINISHED_RUN, Actor, Json, JsonObject, PayloadRef, Priority, RunStatus, StepError
from playbooks.engine.model.plan import Plan
from playbooks.engine.model.state import PauseState
from playbooks.engine.model.temporal_messages import ParentRun, RunInput
from storage.database import json_columns
from storage.database.sessions import ReadSession
from storage.database.tables import transactions
from storage.runs.audit_trail import GENESIS, ChainHead

RUN_TYPE = "PLAYBOOK_RUN"
_RUN_INPUT = TypeAdapter(RunInput)
_PARENT = TypeAdapter(ParentRun | None)
_APART = {"plan", "state", "input"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stuck:
    """Since when a run's workflow cannot go on, and what Temporal says of it."""

    since: datetime
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """One run as stored. `input`, `output` are sealed at their sensitive pointers.

    `accepted_at` is when it was taken in, `started_at` when its workflow spoke first. `step_statuses` has the newest
    status of each step that left `pending`. `success_rate` is completed over all steps, from 0 to 1. `parent` is the
    run that started it; `waiting_for` says what an unfinished run waits for before its first step.
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


def is_run(organization_id: UUID | BindParameter[UUID]) -> ColumnElement[bool]:
    """The condition that a transaction is a run of the organization, and ours.

    Another application may have transactions of this type; ours keep their steps' statuses in `metadata`.
    """
    mine = (transactions.c.organization_id == organization_id) & (transactions.c.transaction_type == RUN_TYPE)
    return mine & transactions.c.metadata.has_key("step_statuses")


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


async def get_run(session: ReadSession, execution_id: UUID) -> RunRow:
    """The run. Raises NotFoundError, also for another organization's id."""
    statement = select_runs(session.organization_id).where(transactions.c.id == execution_id)
    row = (await session.connection.execute(statement)).mappings().one_or_none()
    if row is None:
        raise NotFoundError("there is no such run")
    return read_run(row)


def start_to_json(start: RunInput) -> JsonObject:
    """What a run was started with, but for plan and input, which are stored apart."""
    return cast("JsonObject", _RUN_INPUT.dump_python(start, mode="json", exclude=_APART))


def start_from_json(value: JsonObject, plan: Plan, run_input: JsonObject) -> RunInput:
    """What the run was started with, whole again."""
    return _RUN_INPUT.validate_python({**value, "plan": plan, "input": run_input})


def counts_of(statuses: dict[str, str]) -> dict[str, int]:
    """How many steps are completed, failed and skipped."""
    values = list(statuses.values())
    return {f"{status}_steps": values.count(status) for status in ("completed", "failed", "skipped")}


def head_to_json(head: ChainHead) -> JsonObject:
    return {"count": head.count, "hash": head.hash, "source_number": head.source_number}


def head_from_json(value: object) -> ChainHead:
    data = json_columns.as_object(value)
    return ChainHead(
        count=json_columns.as_int(data.get("count")),
        hash=json_columns.as_text(data.get("hash")) or GENESIS,
        source_number=json_columns.as_int(data.get("source_number")),
    )


def read_run(row: RowMapping) -> RunRow:
    """The row that `select_runs` found."""
    fixed, moving = json_columns.as_object(row["business_context"]), json_columns.as_object(row["metadata"])
    start, playbook = json_columns.as_object(fixed.get("start")), json_columns.as_object(fixed.get("playbook"))
    status = cast("RunStatus", row["transaction_status"])
    is_finished = status in FINISHED_RUN
    statuses = {key: str(value) for key, value in json_columns.as_object(moving.get("step_statuses")).items()}
    initiator = json_columns.actor_from_json(start.get("initiator"))
    if initiator is None:
        raise ValueError("a run has no initiator")
    return RunRow(
        execution_id=row["id"],
        organization_id=row["organization_id"],
        playbook_id=row["target_entity_id"],
        playbook_code=json_columns.as_text(playbook.get("code")) or "",
        playbook_name=json_columns.as_text(playbook.get("name")) or "",
        playbook_version=json_columns.as_int(playbook.get("version")),
        status=status,
        seq=row["version"] or 0,
        epoch=json_columns.as_int(moving.get("epoch")),
        priority=cast("Priority", moving.get("priority") or "normal"),
        tags=tuple(str(tag) for tag in json_columns.as_list(start.get("tags"))),
        initiator=initiator,
        correlation_id=row["external_reference"],
        subject_entity_id=row["source_entity_id"],
        accepted_at=row["created_at"],
        started_at=row["transaction_date"] if moving.get("has_started") is True else None,
        completed_at=row["updated_at"] if is_finished else None,
        cost=row["total_amount"],
        currency=row["transaction_currency_code"],
        total_steps=json_columns.as_int(moving.get("total_steps")),
        **counts_of(statuses),
        current_step=json_columns.as_text(moving.get("current_step")),
        step_statuses=statuses,
        open_incidents=json_columns.as_int(moving.get("open_incidents")),
        input=json_columns.as_object(fixed.get("input")),
        output=fixed.get("output"),
        output_ref=json_columns.ref_from_json(fixed.get("output_ref")),
        error=json_columns.error_from_json(fixed.get("error")),
        variables=json_columns.as_object(moving.get("variables")),
        pause=json_columns.pause_from_json(moving.get("pause")),
        cancel_reason=json_columns.as_text(moving.get("cancel_reason")),
        stuck=_stuck(moving.get("stuck")),
        digest=json_columns.as_text(moving.get("digest")),
        max_retries=cast("int | None", start.get("max_retries")),
        timeout_minutes=cast("float | None", start.get("timeout_minutes")),
        debug=start.get("debug") is True,
        notification=cast("JsonObject | None", start.get("notification")),
        request_hash=json_columns.as_text(fixed.get("request_hash")),
        temporal_run_ids=tuple(str(item) for item in json_columns.as_list(moving.get("temporal_run_ids"))),
        events=head_from_json(moving.get("events")),
        parent=_PARENT.validate_python(start.get("parent")),
        slot_label=json_columns.as_text(json_columns.as_object(start.get("slot")).get("label")),
        waiting_for=None if is_finished else json_columns.as_text(moving.get("waiting_for")),
    )


def _stuck(value: object) -> Stuck | None:
    data = json_columns.as_object(value)
    since = json_columns.instant_from_json(data.get("since"))
    return None if since is None else Stuck(since=since, reason=json_columns.as_text(data.get("reason")) or "")

"""The JSON columns of a run as dataclasses, with the one adapter that reads and writes them.

`business_context` holds what never changes after the start, and the result at the end; `metadata` holds what each flush
rewrites, so it stays small. A stored key is the name of its field. Keys are fixed: indexes name them, and other tools
query them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Annotated, Any, TypeVar, cast
from uuid import UUID

from pydantic import BeforeValidator, SkipValidation, TypeAdapter, ValidationError
from sqlalchemy import Float, func
from sqlalchemy import cast as sql_cast

from playbooks.common.values import Actor, Json, JsonObject, PayloadRef, Priority, StepError
from playbooks.engine.model.plan import Plan
from playbooks.engine.model.state import PauseState
from playbooks.engine.model.temporal_messages import ConcurrencyLimit, ParentRun, RunInput
from storage.database import json_columns
from storage.database.tables import transactions
from storage.runs.audit_trail import ChainHead

_METADATA, _CONTEXT = transactions.c.metadata, transactions.c.business_context
CHILDREN = func.coalesce(_METADATA["children"], func.jsonb_build_array())
SUCCESS_RATE = func.coalesce(sql_cast(_METADATA["success_rate"].astext, Float()), 0.0)
WAITING_FOR = _METADATA["waiting_for"].astext
START_SLOT = _CONTEXT["start"]["slot"]
NOT_STUCK: JsonObject = {"stuck": None}

_APART = {"plan", "state", "input"}
"""Members of RunInput that are stored elsewhere, or not at all."""

_RUN_INPUT = TypeAdapter(RunInput)
_Read = TypeVar("_Read")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stuck:
    """Since when a run's workflow cannot go on, and the reason that Temporal gives."""

    since: datetime
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunMetadata:
    """Column `metadata`.

    `temporal_run_ids` are those that have flushed, oldest first. `step_statuses` has the newest status of each step
    that left `pending`. `success_rate` is completed over all steps, from 0 to 1. `children` are the runs that a step
    waits for. `slot` is the label of the run's concurrency limit. `others`: members that another application added.
    """

    epoch: int = 0
    temporal_run_ids: tuple[str, ...] = ()
    has_started: bool = False
    priority: Priority = "normal"
    total_steps: int = 0
    step_statuses: dict[str, str] = field(default_factory=dict[str, str])
    success_rate: float = 0
    current_step: str | None = None
    waiting_for: str | None = None
    children: tuple[UUID, ...] = ()
    open_incidents: int = 0
    variables: Annotated[JsonObject, SkipValidation] = field(default_factory=dict[str, Json])
    pause: PauseState | None = None
    cancel_reason: str | None = None
    stuck: Stuck | None = None
    digest: str | None = None
    slot: str | None = None
    events: ChainHead = field(default_factory=ChainHead)
    others: Annotated[JsonObject, SkipValidation] = field(default_factory=dict[str, Json])


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlaybook:
    """The version that a run follows."""

    code: str = ""
    name: str = ""
    version: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStart:
    """Members of the stored RunInput that readers of a row need."""

    initiator: Actor
    tags: tuple[str, ...] = ()
    max_retries: int | None = None
    timeout_minutes: float | None = None
    debug: bool = False
    notification: Annotated[JsonObject | None, SkipValidation] = None
    parent: ParentRun | None = None
    slot: ConcurrencyLimit | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunBusinessContext:
    """Column `business_context`. `input` and `output` are sealed at their sensitive pointers."""

    start: RunStart
    input: Annotated[JsonObject, SkipValidation] = field(default_factory=dict[str, Json])
    playbook: RunPlaybook = field(default_factory=RunPlaybook)
    request_hash: str | None = None
    output: Annotated[Json, SkipValidation] = None
    output_ref: PayloadRef | None = None
    error: Annotated[StepError | None, BeforeValidator(json_columns.error_from_json)] = None


_RUN_METADATA = TypeAdapter(RunMetadata)
_RUN_CONTEXT = TypeAdapter(RunBusinessContext)
_MEMBERS = {each.name for each in fields(RunMetadata)}


def read_metadata(value: object) -> RunMetadata:
    data = json_columns.as_object(value)
    others = {name: member for name, member in data.items() if name not in _MEMBERS}
    return _read(_RUN_METADATA, {**data, "others": others})


def metadata_to_json(metadata: RunMetadata) -> JsonObject:
    return {**metadata.others, **_RUN_METADATA.dump_python(metadata, mode="json", exclude={"others"})}


def read_context(value: object) -> RunBusinessContext:
    """Raises ValueError where the run has no initiator."""
    return _read(_RUN_CONTEXT, json_columns.as_object(value))


def new_context(start: RunInput, sealed_input: Json, request_hash: str | None) -> JsonObject:
    """The column of a new run."""
    plan = start.plan
    return {
        "input": sealed_input,
        "start": cast("JsonObject", _RUN_INPUT.dump_python(start, mode="json", exclude=_APART)),
        "playbook": {"code": plan.code, "name": plan.name, "version": plan.version},
        "request_hash": request_hash,
    }


def result_to_json(error: Json, output: Json | PayloadRef) -> JsonObject:
    """The members that join the column when the run ends."""
    if isinstance(output, PayloadRef):
        return {"error": error, "output_ref": json_columns.ref_to_json(output)}
    return {"error": error, "output": output}


def read_run_input(context: object, plan: Plan, opened_input: JsonObject) -> RunInput:
    """The RunInput that the column was made from."""
    start = json_columns.as_object(json_columns.as_object(context).get("start"))
    return _RUN_INPUT.validate_python({**start, "plan": plan, "input": opened_input})


def _read(adapter: TypeAdapter[_Read], data: dict[str, Any]) -> _Read:
    """A member that is not what it should be (quarantined, or changed by another application) counts as missing."""
    try:
        return adapter.validate_python(data)
    except ValidationError as error:
        wrong = {each["loc"][0] for each in error.errors(include_url=False, include_context=False, include_input=False)}
        return adapter.validate_python({name: member for name, member in data.items() if name not in wrong})

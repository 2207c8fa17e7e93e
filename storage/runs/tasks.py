"""Writes the tasks of human steps, as entities `playbook_task` beside the run's lines.

An activity announces each task once; every flush of its step updates it. Invariant: whichever comes first, the row gets
the newer state, because both lock the run's row.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid5

from sqlalchemy import Integer, func, select, tuple_, update
from sqlalchemy import cast as sql_cast
from sqlalchemy.dialects.postgresql import insert

from playbooks.common import smart_codes
from playbooks.common.errors import NotFoundError
from playbooks.common.values import FINISHED_STEP, Json, JsonObject, PayloadRef
from playbooks.document.model import PlaybookDocument
from playbooks.engine.model.plan import Plan, PlanStep
from playbooks.engine.model.state import StepState
from playbooks.engine.model.step_ref import StepRef
from playbooks.engine.model.temporal_messages import TaskCall
from storage.database import json_columns
from storage.database.quarantine import Quarantine
from storage.database.sealing import Sealer
from storage.database.sessions import WriteSession
from storage.database.tables import dynamic_data, entities, lines, relationships, transactions
from storage.runs.conditions import is_run
from storage.runs.step_lines import Outgoing, sealed_task
from storage.runs.task_rows import TASK_TYPE


async def open_task(
    session: WriteSession, call: TaskCall, plan: Plan, document: PlaybookDocument, sealer: Sealer
) -> None:
    """Insert the task's rows. Repeating it changes nothing.

    Raises NotFoundError when there is no such run here.
    """
    step, plan_step = call.step, plan.step(call.step.key)
    if step.task is None:
        return
    await _hold_run(session, call.execution_id)
    out = Outgoing(epoch=0, sealer=sealer, quarantine=Quarantine())
    written = next(item for item in document.steps if item.step_number == plan_step.number)
    facts: JsonObject = {
        "execution_id": str(call.execution_id),
        "playbook_id": str(plan.playbook_id),
        **_facts(plan_step, step.visit),
    }
    statement = insert(entities).values(
        id=step.task.id,
        organization_id=session.organization_id,
        entity_type=TASK_TYPE,
        entity_name=plan_step.name,
        entity_code=str(call.execution_id),
        entity_description=written.description,
        smart_code=smart_codes.build(plan.industry, "TASK", StepRef.parse(plan_step.key).key, plan.version),
        smart_code_status="ACTIVE",
        created_at=step.task.opened_at,
        **_columns(facts, sealed_task(plan_step, step, out), step.status, 0, step.seq),
    )
    new = statement.excluded
    again = statement.on_conflict_do_update(
        index_elements=["id"],
        set_={name: new[name] for name in ("status", "tags", "metadata", "version", "created_at")},
        # Withdrawn by a reset; any other existing task was announced before.
        where=(entities.c.version == 0) & (entities.c.status == "cancelled"),
    )
    if (await session.connection.execute(again.returning(entities.c.id))).first() is None:
        return
    fields: dict[str, JsonObject] = {"form": {"value": written.output_contract}}
    fields["input"] = _field(out, step.key, "input", step.input, plan_step.sensitive_input)
    if step.task.is_review:
        fields["proposal"] = _field(out, step.key, "output", step.output, plan_step.sensitive_output)
    await _insert_fields(session, step.task.id, plan, fields)
    await _insert_relationship(session, step.task.id, plan, plan_step)
    await _catch_up(session, call, plan_step, facts)


async def sync_task(session: WriteSession, execution_id: UUID, plan: Plan, step: StepState, out: Outgoing) -> None:
    """Bring an announced task to the state of its step. The caller holds the run's row.

    A task that is not announced yet is left out: its announcement reads the state from the step's line.
    """
    if step.task is None:
        return
    plan_step = plan.step(step.key)
    facts: JsonObject = {
        "execution_id": str(execution_id),
        "playbook_id": str(plan.playbook_id),
        **_facts(plan_step, step.visit),
    }
    # The step's line has passed the same quarantine: what it found is in the trail already.
    quiet = Outgoing(epoch=out.epoch, sealer=out.sealer, quarantine=Quarantine())
    task = sealed_task(plan_step, step, quiet)
    await _update(session, step.task.id, _columns(facts, task, step.status, out.epoch, step.seq))


async def _update(session: WriteSession, task_id: UUID, columns: dict[str, Any]) -> None:
    before = tuple_(func.coalesce(sql_cast(entities.c.metadata["epoch"].astext, Integer()), 0), entities.c.version)
    newer = tuple_(columns["metadata"]["epoch"], columns["version"])
    statement = (
        update(entities)
        .where(entities.c.organization_id == session.organization_id, entities.c.id == task_id)
        .where(entities.c.entity_type == TASK_TYPE, before < newer)
        .values(**columns, updated_at=func.now())
    )
    await session.connection.execute(statement)


async def _catch_up(session: WriteSession, call: TaskCall, plan_step: PlanStep, facts: JsonObject) -> None:
    """Take over the state from the step's line, where a flush came before the announcement."""
    statement = (
        select(lines.c.line_data, lines.c.version)
        .where(lines.c.organization_id == session.organization_id, lines.c.transaction_id == call.execution_id)
        .where(lines.c.line_type == "step_execution", lines.c.entity_id == plan_step.step_id)
    )
    for row in (await session.connection.execute(statement)).mappings():
        data = json_columns.as_object(row["line_data"])
        task = data.get("task")
        is_it = (data.get("key"), data.get("visit")) == (call.step.key, call.step.visit)
        if is_it and isinstance(task, dict) and call.step.task is not None:
            status, epoch = str(data.get("status")), json_columns.as_int(data.get("epoch"))
            await _update(session, call.step.task.id, _columns(facts, task, status, epoch, row["version"]))


def _columns(facts: JsonObject, task: Json, step_status: str, epoch: int, seq: int) -> dict[str, Any]:
    """The columns of a task's row that change."""
    state = json_columns.as_object(task)
    return {
        "status": _status(state, step_status),
        "tags": [str(role) for role in json_columns.as_list(state.get("roles"))],
        "metadata": {**facts, "epoch": epoch, "task": task},
        "version": seq,
    }


def _status(task: JsonObject, step_status: str) -> str:
    if task.get("decision") is not None:
        return "completed"
    if task.get("closed_at") is not None or step_status in FINISHED_STEP:
        return "cancelled"
    return "open" if task.get("claimant") is None else "claimed"


def _facts(plan_step: PlanStep, visit: int) -> JsonObject:
    rules = plan_step.decision_rules
    return {
        "step_key": plan_step.key,
        "step_name": plan_step.name,
        "visit": visit,
        "approvals_required": rules.threshold,
        "max_voters": rules.max_voters,
    }


def _field(out: Outgoing, step: str, column: str, value: Json | PayloadRef, pointers: tuple[str, ...]) -> JsonObject:
    if isinstance(value, PayloadRef):
        return {"ref": json_columns.ref_to_json(value)}
    return {"value": out.sealer.seal(out.quarantine.take(column, value, step=step), pointers)}


async def _hold_run(session: WriteSession, execution_id: UUID) -> None:
    statement = (
        select(transactions.c.id)
        .where(is_run(session.organization_id), transactions.c.id == execution_id)
        .with_for_update()
    )
    if (await session.connection.execute(statement)).first() is None:
        raise NotFoundError("there is no such run")


async def _insert_fields(session: WriteSession, task_id: UUID, plan: Plan, fields: dict[str, JsonObject]) -> None:
    rows = [
        {
            "organization_id": session.organization_id,
            "entity_id": task_id,
            "field_name": name,
            "field_type": "json",
            "field_value_json": value,
            "smart_code": smart_codes.build(plan.industry, "FIELD", name, plan.version),
        }
        for name, value in fields.items()
    ]
    statement = insert(dynamic_data)
    again = statement.on_conflict_do_update(
        index_elements=["organization_id", "entity_id", "field_name"],
        set_={"field_value_json": statement.excluded.field_value_json},
    )
    await session.connection.execute(again, rows)


async def _insert_relationship(session: WriteSession, task_id: UUID, plan: Plan, plan_step: PlanStep) -> None:
    # Foreign keys are checked without policies, and a task must be announced even if its definition was removed.
    definition = select(entities.c.id).where(
        entities.c.organization_id == session.organization_id, entities.c.id == plan_step.step_id
    )
    if (await session.connection.execute(definition)).first() is None:
        return
    statement = insert(relationships).values(
        id=uuid5(task_id, "task_of_step"),
        organization_id=session.organization_id,
        from_entity_id=task_id,
        to_entity_id=plan_step.step_id,
        relationship_type="task_of_step",
        smart_code=smart_codes.build(plan.industry, "TASK", "OF_STEP", plan.version),
    )
    await session.connection.execute(statement.on_conflict_do_nothing(index_elements=["id"]))

"""The step that undoes another one."""

from __future__ import annotations

from playbooks.common.values import Json, JsonObject
from playbooks.document.model import CompensationDocument, StepDocument
from playbooks.engine.model.step_ref import StepRef


def undo_document(step: StepDocument, compensation: CompensationDocument) -> StepDocument:
    """Return the compensation of a step in the form of a step. Its default input is the step's output."""
    own_output: JsonObject = {"output": f"${{steps.{step.step_key}.output}}"}
    given: Json = compensation.input
    return StepDocument.model_construct(
        name=f"{step.name[:190]} (undo)",
        key=str(StepRef(step.step_key, is_undo=True)),
        step_number=step.step_number,
        step_type=compensation.step_type,
        worker_type=compensation.worker_type,
        config=compensation.config,
        input=own_output if given is None else given,
        retry=compensation.retry,
        timeout_seconds=compensation.timeout_seconds,
    )

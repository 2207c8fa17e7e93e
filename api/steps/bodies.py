"""Request bodies that hold steps: read by `playbooks.document`, described in OpenAPI by its schema."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from fastapi import Body
from pydantic import Field, StrictBool, StrictInt, WithJsonSchema

from api.http.schemas import RequestModel
from api.playbooks.bodies import EXAMPLE
from playbooks.common.values import Json, JsonObject
from playbooks.document.editing import InsertMode
from playbooks.document.model import MAX_STEPS


class AddStepsRequest(RequestModel):
    """Steps to add. `append` adds them at the end, `insert` after step number `insert_after_step` (0: first), `replace`
    replaces all steps."""

    steps: list[Json] = Field(max_length=MAX_STEPS)
    insert_mode: InsertMode = "append"
    insert_after_step: StrictInt | None = None
    create_new_version: StrictBool = False


_STEP: dict[str, Any] = {"$ref": "#/components/schemas/StepDocument"}
_STEPS_EXAMPLE: dict[str, Any] = {
    "steps": [
        {
            "name": "Validate Customer Data",
            "step_number": 1,
            "step_type": "system",
            "worker_type": "data_validator",
            "estimated_duration_minutes": 5,
            "input_contract": {
                "type": "object",
                "required": ["customer_id"],
                "properties": {"customer_id": {"type": "string"}},
            },
        }
    ],
    "insert_mode": "insert",
    "insert_after_step": 2,
    "create_new_version": False,
}

AddStepsBody: TypeAlias = Annotated[
    JsonObject | None,
    Body(),
    WithJsonSchema(
        {
            "type": "object",
            "title": "AddStepsRequest",
            "description": "Steps to add. `step_number` orders the sent steps; `insert_mode` sets their position.",
            "required": ["steps"],
            "properties": {
                "steps": {"type": "array", "items": _STEP, "maxItems": MAX_STEPS},
                "insert_mode": {"enum": ["append", "insert", "replace"], "default": "append"},
                "insert_after_step": {"type": ["integer", "null"], "description": "0 is before the first step."},
                "create_new_version": {"type": "boolean", "default": False},
            },
            "additionalProperties": False,
            "examples": [_STEPS_EXAMPLE],
        }
    ),
]
"""`AddStepsRequest`, read after the check that the version may change."""

StepBody: TypeAlias = Annotated[
    JsonObject | None,
    Body(),
    WithJsonSchema(
        {
            **_STEP,
            "description": "A step; with `create_new_version: true` a locked version gets a next draft.",
            "examples": [EXAMPLE["steps"][0]],
        }
    ),
]
"""A step, and whether a locked version gets a next draft."""

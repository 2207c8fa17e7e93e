"""Bodies whose content is read by the domain, documented by the schema of what they hold."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from fastapi import Body
from pydantic import WithJsonSchema

from playbooks.common.values import JsonObject
from playbooks.document.model import MAX_STEPS

_EXAMPLE: dict[str, Any] = {
    "name": "Refund",
    "code": "refund",
    "industry": "RETAIL",
    "input_contract": {
        "type": "object",
        "required": ["amount"],
        "properties": {"amount": {"type": "number", "minimum": 0}},
    },
    "steps": [
        {
            "name": "Check Amount",
            "step_number": 1,
            "step_type": "system",
            "worker_type": "rules_engine",
            "config": {"rules": [{"name": "small", "when": "input.amount <= 100.0", "reason": "Up to 100"}]},
        },
        {
            "name": "Approve Refund",
            "step_number": 2,
            "step_type": "human",
            "worker_type": "approval_manager",
            "required_roles": ["finance_manager"],
        },
    ],
}

_SCHEMA: dict[str, Any] = {"$ref": "#/components/schemas/PlaybookDocument"}

PlaybookBody: TypeAlias = Annotated[JsonObject, Body(), WithJsonSchema({**_SCHEMA, "examples": [_EXAMPLE]})]
"""A playbook document; `read_document` judges it, with pointers into it."""

# The document's schema is closed, so the flag beside it is described in words, not by a schema of its own.
ChangeBody: TypeAlias = Annotated[
    JsonObject,
    Body(),
    WithJsonSchema(
        {
            **_SCHEMA,
            "description": "A document; with `create_new_version: true` a locked version gets a next draft.",
            "examples": [_EXAMPLE],
        }
    ),
]
"""A document, and whether a locked version may be answered with a new draft."""

_BASE: dict[str, Any] = {
    "type": "object",
    "description": "The version whose document the draft begins with.",
    "properties": {"base_version": {"type": "integer", "minimum": 1}, "from_version_id": {"type": "string"}},
    "minProperties": 1,
    "maxProperties": 1,
    "additionalProperties": False,
}

VersionBody: TypeAlias = Annotated[
    JsonObject | None,
    Body(),
    WithJsonSchema({"anyOf": [_BASE, _SCHEMA, {"type": "null"}], "examples": [{"base_version": 1}, _EXAMPLE]}),
]
"""A document, or the version to take it from, or nothing for that of the version asked for."""

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
            "description": "Steps to add. A `step_number` orders the sent steps; where they stand, `insert_mode` says.",
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
"""`AddStepsRequest`, read after it is known that the version may change at all."""

StepBody: TypeAlias = Annotated[
    JsonObject | None,
    Body(),
    WithJsonSchema(
        {
            **_STEP,
            "description": "A step; with `create_new_version: true` a locked version gets a next draft.",
            "examples": [_EXAMPLE["steps"][0]],
        }
    ),
]
"""A step, and whether a locked version may be answered with a new draft."""

"""Bodies whose content is read by the domain, documented by the schema of what they hold."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from fastapi import Body
from pydantic import WithJsonSchema

from playbooks.values import JsonObject

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

VersionBody: TypeAlias = Annotated[
    JsonObject | None, Body(), WithJsonSchema({"anyOf": [_SCHEMA, {"type": "null"}], "examples": [_EXAMPLE]})
]
"""A document, or nothing for that of the version named."""

StepBody: TypeAlias = Annotated[JsonObject | None, Body(), WithJsonSchema({"type": "object"})]
"""Steps of a draft: not built yet, so nothing is promised about the body."""

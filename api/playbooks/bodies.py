"""Request bodies that hold a document: read by `playbooks.document`, described in OpenAPI by its schema."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias, TypeVar
from uuid import UUID

from fastapi import Body
from pydantic import Field, StrictInt, WithJsonSchema
from pydantic import ValidationError as ModelError

from api.http.schemas import RequestModel
from playbooks.common.errors import ValidationError
from playbooks.common.errors import error as problem
from playbooks.common.values import JsonObject
from playbooks.document import model_errors

Model = TypeVar("Model", bound=RequestModel)

EXAMPLE: dict[str, Any] = {
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

SCHEMA: dict[str, Any] = {"$ref": "#/components/schemas/PlaybookDocument"}

PlaybookBody: TypeAlias = Annotated[JsonObject, Body(), WithJsonSchema({**SCHEMA, "examples": [EXAMPLE]})]
"""A playbook document. `read_document` validates it, with pointers into it."""

# The document's schema is closed, so the flag beside it is in the description instead.
ChangeBody: TypeAlias = Annotated[
    JsonObject,
    Body(),
    WithJsonSchema(
        {
            **SCHEMA,
            "description": "A document; with `create_new_version: true` a locked version gets a next draft.",
            "examples": [EXAMPLE],
        }
    ),
]
"""A document, and whether a locked version gets a next draft."""

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
    WithJsonSchema({"anyOf": [_BASE, SCHEMA, {"type": "null"}], "examples": [{"base_version": 1}, EXAMPLE]}),
]
"""A document, or the version to take it from, or nothing for that of the version in the path."""


class BaseRequest(RequestModel):
    """The version whose document the next draft begins with: exactly one of the two."""

    base_version: Annotated[StrictInt, Field(ge=1, le=1_000_000)] | None = None
    from_version_id: UUID | None = None


def base_of(body: JsonObject) -> int | UUID | None:
    """Return the version that the body names as the base of the next draft; None where the body is a document.

    Raises ValidationError.
    """
    if not body.keys() & BaseRequest.model_fields.keys():
        return None
    request = read_body(BaseRequest, body)
    if (request.base_version is None) == (request.from_version_id is None):
        message = "name the base by base_version or by from_version_id"
        raise ValidationError(message, (problem("", "REQUIRED", message, "give exactly one of the two"),))
    return request.base_version or request.from_version_id


def read_body(model: type[Model], body: JsonObject) -> Model:
    """Validate a body in an operation. Raises ValidationError with pointers into the body."""
    try:
        return model.model_validate(body)
    except ModelError as error:
        problems = model_errors.from_model(error, model, body)
        raise ValidationError(f"{problems[0].message} ({problems[0].pointer or '/'})", problems) from None

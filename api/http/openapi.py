"""The OpenAPI document that FastAPI collects, with corrections.

Errors are problem documents instead of the framework's own, playbooks are `PlaybookDocument`.
"""

from __future__ import annotations

from typing import Any, cast

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api.http.problems import ProblemDocument
from playbooks.document.model import PlaybookDocument

VERSION = "0.2.0"
DESCRIPTION = (
    "Runs business playbooks: versioned documents whose steps are done by systems, people, AI models and external "
    "services. Every answer has `success`; every error is `application/problem+json` with a stable `code`. "
    "Sensitive data is shown as `***` without the permission `runs:view_sensitive`."
)
_TAGS = [
    {"name": "playbooks", "description": "Author, check and publish playbooks."},
    {"name": "runs", "description": "Start, read and control runs."},
    {"name": "tasks", "description": "Tasks of people: read, claim, decide."},
    {"name": "smart codes", "description": "Generate and validate HERA smart codes."},
    {"name": "operations", "description": "Probes, metrics, and the codec for the Temporal Web UI."},
]
_FRAMEWORK_SCHEMAS = ("HTTPValidationError", "ValidationError")
_REFERENCE = "#/components/schemas/{model}"


def document(app: FastAPI) -> dict[str, Any]:
    """Return the document, made once per application."""
    if app.openapi_schema is None:
        app.openapi_schema = _made(app)
    return app.openapi_schema


def _made(app: FastAPI) -> dict[str, Any]:
    made = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        tags=_TAGS,
        separate_input_output_schemas=False,
    )
    schemas = cast("dict[str, Any]", made.setdefault("components", {}).setdefault("schemas", {}))
    for name in _FRAMEWORK_SCHEMAS:
        schemas.pop(name, None)
    for model in (ProblemDocument, PlaybookDocument):
        schema = model.model_json_schema(ref_template=_REFERENCE)
        schemas.update(schema.pop("$defs", {}))
        schemas[str(schema["title"])] = schema
    for operation in _operations(made):
        _correct(operation)
    return made


def _operations(made: dict[str, Any]) -> list[dict[str, Any]]:
    paths = cast("dict[str, dict[str, dict[str, Any]]]", made["paths"])
    return [operation for item in paths.values() for operation in item.values()]


def _correct(operation: dict[str, Any]) -> None:
    # The framework documents its own 422 where a route names none.
    responses = cast("dict[str, Any]", operation["responses"])
    content = responses.get("422", {}).get("content", {})
    if "application/json" in content:
        del content["application/json"]
        if not content:
            del responses["422"]

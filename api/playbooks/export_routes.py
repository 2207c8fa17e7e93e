"""Export a version's document as a JSON or YAML file, without an envelope."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, TypeAlias
from uuid import UUID

from fastapi import APIRouter, Header, Query
from starlette.responses import Response

from api.context import Reader
from api.http.dependencies import IfNoneMatch
from api.http.etags import NotModifiedError, etag_of
from api.http.problems import NOT_MODIFIED, documented
from api.playbooks.operations import read_playbook
from playbooks.document.field_order import in_reading_order
from runtime.yaml_text import MEDIA_TYPES, to_yaml

router = APIRouter(prefix="/playbooks", tags=["playbooks"])

Format: TypeAlias = Literal["json", "yaml"]
_TYPES: dict[Format, str] = {"json": "application/json", "yaml": "application/yaml"}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The document.",
        "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/PlaybookDocument"}},
            "application/yaml": {"schema": {"type": "string"}},
        },
    },
    **NOT_MODIFIED,
}


@router.get("/{playbook_id}/export", response_class=Response, responses={**documented("NOT_FOUND"), **_ANSWERS})
async def export(
    *,
    playbook_id: UUID,
    context: Reader,
    format: Annotated[Format | None, Query(description="Default: what Accept asks for, else JSON.")] = None,
    accept: Annotated[str, Header(max_length=1000)] = "",
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Export the document alone. A client that changes it can send it back with its ETag in `If-Match`."""
    # The two formats are different answers: a cache has to keep them apart.
    vary = {"Vary": "Accept"}
    try:
        row = (await read_playbook(context, playbook_id, if_none_match=if_none_match)).row
    except NotModifiedError as unchanged:
        unchanged.headers.update(vary)
        raise
    chosen = format or _accepted(accept)
    document = in_reading_order(row.document or {})
    text = to_yaml(document) if chosen == "yaml" else json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    headers = {
        "ETag": etag_of(row.revision),
        **vary,
        "Content-Disposition": f'attachment; filename="{row.code}.v{row.version}.playbook.{chosen}"',
    }
    return Response(text, media_type=_TYPES[chosen], headers=headers)


def _accepted(accept: str) -> Format:
    wanted = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
    return "yaml" if any(kind in MEDIA_TYPES for kind in wanted) and "application/json" not in wanted else "json"

"""A version's document as a file: JSON or YAML, without an envelope, as its author wrote it."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, TypeAlias
from uuid import UUID

from fastapi import APIRouter, Header, Query
from starlette.responses import Response

from api.http.dependencies import IfNoneMatch, Opened
from api.http.etags import etag_of, is_unchanged
from api.http.problems import documented
from api.http.security import Reader
from api.playbooks.read import read_playbook
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
    304: {"description": "Not changed since the tag in If-None-Match."},
}


@router.get("/{playbook_id}/export", response_class=Response, responses={**documented("NOT_FOUND"), **_ANSWERS})
async def export(
    *,
    playbook_id: UUID,
    principal: Reader,
    services: Opened,
    format: Annotated[Format | None, Query(description="Default: what Accept asks for, else JSON.")] = None,
    accept: Annotated[str, Header(max_length=1000)] = "",
    if_none_match: IfNoneMatch = None,
) -> Response:
    """The document alone. Sent back with its ETag in `If-Match` it changes the draft that it came from."""
    row = await read_playbook(services, principal, playbook_id)
    chosen = format or _accepted(accept)
    # The two forms are different answers: a cache has to tell them apart.
    headers = {"ETag": etag_of(row.revision), "Vary": "Accept"}
    if is_unchanged(if_none_match, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    document = in_reading_order(row.document or {})
    text = to_yaml(document) if chosen == "yaml" else json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    headers["Content-Disposition"] = f'attachment; filename="{row.code}.v{row.version}.playbook.{chosen}"'
    return Response(text, media_type=_TYPES[chosen], headers=headers)


def _accepted(accept: str) -> Format:
    wanted = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
    return "yaml" if any(kind in MEDIA_TYPES for kind in wanted) and "application/json" not in wanted else "json"

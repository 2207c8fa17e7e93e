"""Finds the stored version of a playbook that a command names, and its document."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from cli.rest import Api, Data
from playbooks.common.errors import NotFoundError
from playbooks.common.values import Json


@dataclass(frozen=True, slots=True)
class Stored:
    """One version: its id, number, status, document, and the ETag that changing it needs."""

    id: str
    version: int
    status: str
    document: Json
    etag: str


def versions_of(api: Api, code: str) -> list[Data]:
    """Return all versions of a code that are not deleted, newest first."""
    listed: list[Data] = api.get("/playbooks", code=code, limit=1)
    if not listed:
        return []
    every: list[Data] = api.get(f"/playbooks/{listed[0]['id']}/versions")
    return sorted((each for each in every if each["status"] != "deleted"), key=lambda each: -int(each["version"]))


def newest(api: Api, code: str) -> Stored | None:
    """Return the newest version (a draft, where there is one)."""
    found = versions_of(api, code)
    return _stored(api, found[0]) if found else None


def wanted(api: Api, code: str, version: int | None) -> Stored:
    """Return the named version, else the newest. Raises NotFoundError."""
    found = versions_of(api, code)
    for each in found:
        if version in (None, each["version"]):
            return _stored(api, each)
    what = f"version {version} of '{code}'" if version is not None and found else f"playbook '{code}'"
    raise NotFoundError(f"there is no {what}")


def text_of(document: Any) -> str:
    """Return the document as text that is equal for equal documents."""
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False)


def _stored(api: Api, row: Data) -> Stored:
    text, etag = api.text(f"/playbooks/{row['id']}/export", format="json")
    return Stored(str(row["id"]), int(row["version"]), str(row["status"]), json.loads(text), etag)

"""A small client of the REST API, as one person. Never imports Temporal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import httpx2

Data: TypeAlias = dict[str, Any]

_TIMEOUT_SECONDS = 60.0


def objects(document: Data, name: str) -> list[Data]:
    """Return the list of JSON objects under a name; empty where the field is absent or null."""
    return document.get(name) or []


class ApiProblemError(Exception):
    """The API refused. `code` is its stable code, `status` the HTTP status."""

    def __init__(self, status: int, document: Data) -> None:
        self.status = status
        self.code = str(document.get("code", "INTERNAL_ERROR"))
        self.problems = objects(document, "errors")
        pointed = "; ".join(f"{each.get('pointer')}: {each.get('message')}" for each in objects(document, "errors"))
        super().__init__(f"{status} {self.code}: {document.get('detail', '')} {pointed}".strip())


class Api:
    """The API, called as one person."""

    def __init__(self, api_url: str, token: str, *, transport: httpx2.BaseTransport | None = None) -> None:
        self._client = httpx2.Client(
            base_url=f"{api_url}/api/v1",
            headers={"Authorization": f"Bearer {token}"},
            timeout=_TIMEOUT_SECONDS,
            transport=transport,
        )

    def close(self) -> None:
        self._client.close()

    def get(self, path: str, **query: str | int) -> Any:
        """Return the response's `data`. Raises ApiProblemError."""
        return _data_of(self._client.get(path, params=query))

    def post(self, path: str, body: Data, headers: Mapping[str, str] | None = None) -> Any:
        """Return the response's `data`. Raises ApiProblemError."""
        return _data_of(self._client.post(path, json=body, headers=dict(headers or {})))

    def put(self, path: str, body: Data, headers: Mapping[str, str] | None = None) -> Any:
        """Return the response's `data`. Raises ApiProblemError."""
        return _data_of(self._client.put(path, json=body, headers=dict(headers or {})))

    def text(self, path: str, **query: str | int) -> tuple[str, str]:
        """Return a response without an envelope, and its ETag. Raises ApiProblemError."""
        answer = self._client.get(path, params=query)
        if not answer.is_success:
            _data_of(answer)
        return answer.text, answer.headers.get("etag", "")


def _data_of(answer: httpx2.Response) -> Any:
    try:
        document = answer.json()
    except ValueError:
        document = {"detail": answer.text[:300]}
    if not answer.is_success:
        raise ApiProblemError(answer.status_code, document)
    return document["data"]

"""People who call the API, and the playbooks that they bring."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import httpx2
from fastapi import FastAPI

from playbooks.common.permissions import PERMISSIONS
from runtime.tokens import DEFAULT_PERMISSIONS, issue_token
from tests.support.servers import JWT_SECRET
from tests.support.waiting import eventually

BASE = "/api/v1"


def client_of(app: FastAPI) -> httpx2.AsyncClient:
    transport = httpx2.ASGITransport(app=app, client=("127.0.0.1", 50_000))
    return httpx2.AsyncClient(transport=transport, base_url="http://api.test", timeout=60)


class Caller:
    """One person with a token. Paths are relative to the API's base."""

    def __init__(self, http: httpx2.AsyncClient, token: str) -> None:
        self._http = http
        self.token = token

    async def ask(self, method: str, path: str, **options: Any) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {self.token}", **options.pop("headers", {})}
        return await self._http.request(method, f"{BASE}{path}", headers=headers, **options)

    async def get(self, path: str, **options: Any) -> httpx2.Response:
        return await self.ask("GET", path, **options)

    async def post(self, path: str, json: Any = None, **options: Any) -> httpx2.Response:
        return await self.ask("POST", path, json=json, **options)

    async def put(self, path: str, json: Any = None, **options: Any) -> httpx2.Response:
        return await self.ask("PUT", path, json=json, **options)

    async def delete(self, path: str, **options: Any) -> httpx2.Response:
        return await self.ask("DELETE", path, **options)

    async def draft(self, document: dict[str, Any]) -> str:
        answer = await self.post("/playbooks", document)
        assert answer.status_code == 201, answer.text
        return answer.json()["data"]["id"]

    async def published(self, document: dict[str, Any]) -> str:
        playbook_id = await self.draft(document)
        answer = await self.put(f"/playbooks/{playbook_id}/publish", {"action": "publish"})
        assert answer.status_code == 200, answer.text
        return playbook_id

    async def started(self, playbook_id: str, **input_data: Any) -> str:
        answer = await self.post(f"/playbooks/{playbook_id}/execute", {"input_data": input_data})
        assert answer.status_code == 201, answer.text
        return answer.json()["data"]["execution_id"]

    async def open_task(self, execution_id: str) -> dict[str, Any]:
        async def found() -> list[dict[str, Any]]:
            return (await self.get("/tasks", params={"execution_id": execution_id})).json()["data"]

        return (await eventually(found))[0]

    async def run(self, execution_id: str, include: str = "steps,timeline", **params: Any) -> dict[str, Any]:
        answer = await self.get(f"/playbooks/runs/{execution_id}", params={"include": include, **params})
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    async def run_once(self, execution_id: str, status: str) -> dict[str, Any]:
        """The run, once it has this status."""

        async def found() -> dict[str, Any] | None:
            data = await self.run(execution_id)
            return data if data["status"] == status else None

        return await eventually(found)


class Organization:
    """A fresh organization."""

    def __init__(self, organization_id: UUID, http: httpx2.AsyncClient) -> None:
        self.id = organization_id
        self._http = http

    def caller(
        self,
        name: str,
        *,
        roles: tuple[str, ...] = (),
        permissions: tuple[str, ...] = DEFAULT_PERMISSIONS,
        admin: bool = False,
    ) -> Caller:
        token = issue_token(
            JWT_SECRET,
            organization_id=self.id,
            subject=name,
            roles=roles,
            permissions=PERMISSIONS if admin else permissions,
        )
        return Caller(self._http, token)


def document(**changes: Any) -> dict[str, Any]:
    """A playbook of one rule and one approval."""
    return {
        "name": "Refund",
        "code": f"refund-{uuid4().hex[:8]}",
        "industry": "RETAIL",
        "input_contract": {
            "type": "object",
            "required": ["amount"],
            "properties": {
                "amount": {"type": "number", "minimum": 0},
                "iban": {"type": "string", "x-sensitive": True},
            },
            "additionalProperties": False,
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
                "required_roles": ["manager"],
                "output_contract": {
                    "type": "object",
                    "required": ["score"],
                    "properties": {"score": {"type": "integer", "maximum": 100}},
                },
            },
        ],
        **changes,
    }

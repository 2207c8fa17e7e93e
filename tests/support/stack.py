"""A whole service of one's own for journeys: PostgreSQL, Temporal, API and worker, each killable by itself.

The processes are the ones that a user starts (`playbook api`, `playbook worker`); nothing is replaced.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx2

from cli.servers.ports import any_free_port
from cli.servers.postgres import PostgresServer, start_postgres
from cli.servers.processes import ChildProcess, spawn
from cli.servers.temporal import TemporalServer, start_temporal, temporal_program
from runtime.settings import plain_database_url
from runtime.tokens import DEFAULT_PERMISSIONS, issue_token
from storage.database.migrate import upgrade
from storage.identity.organizations import create_organization
from tests.support.servers import ENCRYPTION_KEYS, JWT_SECRET, SERVICE_PASSWORD
from tests.support.waiting import wait_until

EXAMPLES = Path(__file__).parents[2] / "examples"


def example(name: str) -> Any:
    return json.loads((EXAMPLES / name).read_text())


@dataclass
class Stack:
    """Everything of one service, started in order. Ports and data stay the same over a restart of any part.

    `is_durable`: what PostgreSQL has committed survives a kill of it.
    """

    folder: Path
    organization: str = "demo"
    organization_id: UUID | None = None
    api_port: int = field(default_factory=any_free_port)
    temporal_port: int = field(default_factory=any_free_port)
    postgres_port: int = field(default_factory=any_free_port)
    ui_port: int | None = None
    trust_temporal: bool = True
    is_durable: bool = False
    prepare_database: Callable[[str], None] | None = None
    postgres: PostgresServer | None = None
    temporal: TemporalServer | None = None
    api: ChildProcess | None = None
    worker: ChildProcess | None = None
    organization_ids: dict[str, UUID] = field(default_factory=dict[str, UUID])

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.api_port}"

    @property
    def temporal_address(self) -> str:
        return f"127.0.0.1:{self.temporal_port}"

    @property
    def admin_url(self) -> str:
        assert self.postgres is not None
        return self.postgres.admin_url

    @property
    def environment(self) -> dict[str, str]:
        assert self.postgres is not None
        return {
            **os.environ,
            "PLAYBOOK_DATABASE_URL": self.postgres.url("playbook_service", SERVICE_PASSWORD),
            "PLAYBOOK_ADMIN_DATABASE_URL": self.postgres.admin_url,
            "PLAYBOOK_TEMPORAL_ADDRESS": self.temporal_address,
            "PLAYBOOK_JWT_SECRET": JWT_SECRET,
            "PLAYBOOK_ENCRYPTION_KEYS": ENCRYPTION_KEYS,
            "PLAYBOOK_TRUST_TEMPORAL": "true" if self.trust_temporal else "false",
            "PLAYBOOK_EGRESS_ALLOW": "127.0.0.0/8",
            "PLAYBOOK_TEMPORAL_UI_URL": f"http://127.0.0.1:{self.ui_port}" if self.ui_port else "",
        }

    # --- start and stop

    def start(self) -> None:
        self.start_postgres()
        if self.prepare_database is not None and self.organization_id is None:
            self.prepare_database(self.admin_url)
        upgrade(self.admin_url, SERVICE_PASSWORD)
        if self.organization_id is None:
            self.organization_id = asyncio.run(self._make_organization(self.organization))
        self.start_temporal()
        self.start_api()
        self.start_worker()

    async def _make_organization(self, code: str) -> UUID:
        row = await create_organization(self.admin_url, code=code, name=code.title())
        self.organization_ids[code] = row.id
        return row.id

    def start_postgres(self) -> None:
        log = self.folder / "postgres.log"
        folder = self.folder / "postgres"
        self.postgres = start_postgres(
            folder, port=self.postgres_port, log=log, is_durable=self.is_durable, password="admin"
        )

    def start_temporal(self) -> None:
        log = self.folder / "temporal.log"
        self.temporal = start_temporal(
            self.folder / "temporal.db",
            port=self.temporal_port,
            log=log,
            ui_port=self.ui_port,
            codec_endpoint=f"{self.api_url}/codec",
        )

    def start_api(self) -> None:
        self.api = self._spawn("api", "--port", str(self.api_port))
        wait_until(self._is_api_up, 30, "the API to answer")

    def start_worker(self) -> None:
        self.worker = self._spawn("worker")

    def _spawn(self, *command: str) -> ChildProcess:
        log = self.folder / f"{command[0]}.log"
        return spawn(command[0], [sys.executable, "-m", "cli.main", *command], log=log, env=self.environment)

    def _is_api_up(self) -> bool:
        assert self.api is not None
        assert self.api.is_running, self.api.end_of_log(40)
        try:
            return httpx2.get(f"{self.api_url}/livez", timeout=2).status_code == 200
        except httpx2.HTTPError:
            return False

    def stop(self) -> None:
        for process in (self.worker, self.api):
            if process is not None:
                process.stop()
        for server in (self.temporal, self.postgres):
            if server is not None:
                server.stop()
        self.worker = self.api = self.temporal = self.postgres = None

    def kill(self, process: ChildProcess | None) -> None:
        assert process is not None
        process.popen.send_signal(signal.SIGKILL)
        process.popen.wait()

    # --- use

    def token(self, user: str, *roles: str, organization: str | None = None, permissions: str | None = None) -> str:
        """A bearer token like those of `playbook token`, without a process for each."""
        return issue_token(
            JWT_SECRET,
            organization_id=self.organization_ids[organization or self.organization],
            subject=user,
            roles=roles,
            permissions=DEFAULT_PERMISSIONS if permissions is None else permissions.split(","),
        )

    def client(self, user: str, *roles: str, **token: Any) -> Client:
        return Client(self.api_url, self.token(user, *roles, **token))

    def make_organization(self, code: str) -> UUID:
        return asyncio.run(self._make_organization(code))

    def temporal_cli(self, *arguments: str) -> str:
        """Runs the `temporal` program as an operator would."""
        command = [str(temporal_program()), *arguments, "--address", self.temporal_address]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def signal(self, execution_id: str, name: str, body: Any) -> None:
        workflow = f"playbook-run/{self.organization_id}/{execution_id}"
        self.temporal_cli("workflow", "signal", "-w", workflow, "--name", name, "--input", json.dumps(body))

    def rows(self, query: str, *values: Any) -> list[dict[str, Any]]:
        """Rows as the superuser sees them."""

        async def read() -> list[dict[str, Any]]:
            connection = await asyncpg.connect(plain_database_url(self.admin_url))
            try:
                await connection.set_type_codec("jsonb", encoder=json.dumps, decoder=json.loads, schema="pg_catalog")
                return [dict(row) for row in await connection.fetch(query, *values)]
            finally:
                await connection.close()

        return asyncio.run(read())


@dataclass
class Client:
    """One user's REST client."""

    url: str
    token: str

    def request(self, method: str, path: str, **options: Any) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {self.token}", **options.pop("headers", {})}
        with httpx2.Client(base_url=f"{self.url}/api/v1", timeout=60) as client:
            return client.request(method, path, headers=headers, **options)

    def get(self, path: str, **options: Any) -> httpx2.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> httpx2.Response:
        return self.request("POST", path, json=body if body is not None else {}, **options)

    def put(self, path: str, body: Any, **options: Any) -> httpx2.Response:
        return self.request("PUT", path, json=body, **options)

    def delete(self, path: str, **options: Any) -> httpx2.Response:
        return self.request("DELETE", path, **options)

    def publish(self, document: Any) -> str:
        """Create and publish a playbook; answers the version's id."""
        created = self.post("/playbooks", document)
        assert created.status_code == 201, created.text
        playbook_id = created.json()["data"]["playbook_id"]
        published = self.put(f"/playbooks/{playbook_id}/publish", {"action": "publish", "reason": "test"})
        assert published.status_code == 200, published.text
        return playbook_id

    def execute(self, playbook_id: str, input_data: Any, **body: Any) -> str:
        answer = self.post(f"/playbooks/{playbook_id}/execute", {"input_data": input_data, **body})
        assert answer.status_code in (201, 202), answer.text
        return answer.json()["data"]["execution_id"]

    def run(self, execution_id: str, include: str = "steps,timeline") -> Any:
        answer = self.get(f"/playbooks/runs/{execution_id}", params={"include": include})
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    def finished(self, execution_id: str, seconds: float = 60) -> Any:
        """The run once it is finished."""

        def is_finished() -> bool:
            return self.run(execution_id, "")["status"] in ("completed", "failed", "cancelled")

        wait_until(is_finished, seconds, f"run {execution_id} to finish")
        return self.run(execution_id)

    def task(self, execution_id: str, step_name: str, seconds: float = 30) -> Any:
        """The open task of a run's step, once it is there."""

        def open_tasks() -> list[Any]:
            answer = self.get("/tasks", params={"execution_id": execution_id, "limit": 50})
            assert answer.status_code == 200, answer.text
            return [task for task in answer.json()["data"] if task["step_name"] == step_name]

        return wait_until(open_tasks, seconds, f"task {step_name} of run {execution_id}")[0]

    def decide(self, task: Any, decision: str = "approve", **body: Any) -> httpx2.Response:
        return self.post(f"/tasks/{task['task_id']}/decisions", {"decision": decision, **body})


@contextmanager
def running_stack(folder: Path, **options: Any) -> Generator[Stack]:
    stack = Stack(folder, **options)
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()

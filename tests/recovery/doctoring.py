"""A service with finished, failed and waiting runs, the doctor command, and rows that can be spoiled and put back."""

from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from typing import Any
from unittest import mock
from uuid import UUID

import asyncpg

from cli.doctor import run_doctor
from runtime.settings import plain_database_url
from tests.support.grants import VOTERS, Grants
from tests.support.stack import Stack
from tests.support.waiting import wait_until

TABLES = ("universal_transactions", "universal_transaction_lines", "core_entities", "core_relationships")


@dataclass(frozen=True, kw_only=True)
class Patient:
    """A service and its runs. `stranger` is another organization, without runs."""

    stack: Stack
    completed: str
    failed: str
    waiting: str
    stranger: UUID

    def doctor(self, *options: str) -> tuple[int, dict[str, Any]]:
        """Run the command; return its exit code and its output."""
        command = [sys.executable, "-m", "cli.main", "doctor", "--json", "--older-than", "0.5", *options]
        done = subprocess.run(command, env=self.stack.environment, capture_output=True, text=True, check=False)
        assert done.returncode in (0, 1), done.stderr
        return done.returncode, json.loads(done.stdout)

    def found(self) -> tuple[int, dict[str, Any]]:
        """The same without a process of its own."""
        printed = io.StringIO()
        with mock.patch.dict(os.environ, self.stack.environment), redirect_stdout(printed):
            code = run_doctor(None, org=None, run=None, as_json=True, older_than=0.5)
        assert code in (0, 1), printed.getvalue()
        return code, json.loads(printed.getvalue())

    def codes(self) -> set[str]:
        return {each["code"] for each in self.found()[1]["differences"]}

    @contextmanager
    def spoiled(self, statement: str, *values: Any) -> Generator[None]:
        """Spoil rows with the statement, past constraints and policies; restore them at the end."""
        self._run(*(f"CREATE TABLE kept_{table} AS SELECT * FROM {table}" for table in TABLES))
        try:
            assert self._run(statement, values=values) not in ("UPDATE 0", "DELETE 0", "INSERT 0 0"), "nothing spoiled"
            yield
        finally:
            for table in TABLES:
                back = f"INSERT INTO {table} SELECT * FROM kept_{table}"
                self._run(f"DELETE FROM {table}", back, f"DROP TABLE kept_{table}")

    def _run(self, *statements: str, values: tuple[Any, ...] = ()) -> str:
        async def run() -> str:
            connection = await asyncpg.connect(plain_database_url(self.stack.admin_url))
            try:
                async with connection.transaction():
                    await connection.execute("SET LOCAL session_replication_role = replica")
                    return [await connection.execute(statement, *values) for statement in statements][-1]
            finally:
                await connection.close()

        return asyncio.run(run())


def make_patient(stack: Stack) -> Patient:
    """A completed and a waiting grants run, and one of parallel calls that are tried again and fail."""
    grants = Grants(stack)
    waiting, completed = grants.start(), grants.start()
    failed = grants.author.execute(grants.author.publish(_failing()), {"n": 1})
    for run in (waiting, completed):
        grants.register(run)
    grants.vote(waiting, VOTERS[0])
    for name in VOTERS:
        grants.vote(completed, name)
    assert grants.author.finished(completed)["status"] == "completed"
    assert grants.author.finished(failed)["status"] == "failed"
    stranger = stack.make_organization("stranger")
    patient = Patient(stack=stack, completed=completed, failed=failed, waiting=waiting, stranger=stranger)
    wait_until(lambda: patient.found()[1]["fresh"] == 0, 30, "the runs to rest")
    return patient


def _failing() -> dict[str, Any]:
    call = {"step_type": "external", "worker_type": "http_request", "parallel_group": "calls"}
    config = {"method": "GET", "url": "http://127.0.0.1:1/nobody"}
    return {
        "name": "Failing calls",
        "code": "failing-calls",
        "industry": "TEST",
        "input_contract": {"type": "object", "properties": {"n": {"type": "integer"}}},
        "policies": {"retry": {"max_retries": 1, "initial_delay_ms": 50, "retry_on_errors": ["network"]}},
        "steps": [{**call, "name": f"Call {number}", "step_number": number, "config": config} for number in (1, 2)],
    }

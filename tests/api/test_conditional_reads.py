"""The cost of reads: a 304 loads the row alone, and an answer comes from one transaction."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import event

from api.services import Services
from tests.api.callers import Caller, document
from tests.support.waiting import eventually


@pytest.fixture
def statements(app: FastAPI) -> Iterator[list[str]]:
    """The SQL of the requests so far; every transaction begins with `set_config`."""
    engine = app.state.services.database._engine.sync_engine
    sent: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        sent.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    yield sent
    event.remove(engine, "before_cursor_execute", note)


def transactions(statements: list[str]) -> int:
    return sum("set_config" in statement for statement in statements)


@pytest.fixture
async def run(author: Caller) -> str:
    """The path of a cancelled run; a worker of other tests may still write its last flush."""
    path = f"/playbooks/runs/{await author.started(await author.published(document()), amount=20)}"
    await author.delete(path)
    assert (await author.get(f"{path}?wait=20")).json()["data"]["status"] == "cancelled"
    return path


async def test_unchanged_run_is_answered_from_its_row(author: Caller, run: str, statements: list[str]) -> None:
    async def is_unchanged() -> bool:
        tag = (await author.get(run)).headers["etag"]
        statements.clear()
        answer = await author.get(f"{run}?include=steps,timeline", headers={"If-None-Match": tag})
        return (answer.status_code, answer.headers["etag"]) == (304, tag)

    await eventually(is_unchanged)
    assert len(statements) == 2, "the organization is set, the row is read"


async def test_run_and_timeline_come_from_one_transaction(author: Caller, run: str, statements: list[str]) -> None:
    statements.clear()
    answer = await author.get(f"{run}?include=steps,timeline")
    assert answer.json()["data"]["timeline"]
    assert transactions(statements) == 1


@pytest.mark.parametrize("part", ["", "?include=validation,versions", "/steps?include_validation=true", "/export"])
async def test_unchanged_version_is_not_compiled(
    author: Caller, part: str, statements: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"/playbooks/{await author.draft(document())}{part}"
    tag = (await author.get(path)).headers["etag"]

    async def refuse(*_arguments: Any) -> None:
        raise AssertionError("compiled for a 304")

    monkeypatch.setattr(Services, "compile", refuse)
    statements.clear()
    answer = await author.get(path, headers={"If-None-Match": tag})
    assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)
    assert len(statements) == 2


async def test_version_and_its_siblings_come_from_one_transaction(author: Caller, statements: list[str]) -> None:
    path = f"/playbooks/{await author.draft(document())}?include=validation,versions"
    statements.clear()
    assert (await author.get(path)).json()["data"]["versions"]
    assert transactions(statements) == 1

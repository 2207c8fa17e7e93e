"""The documentation's commands, queries and scripts, run against a real stack as a reader would run them."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from tests.support.grants import VOTERS, Grants
from tests.support.pages import ROOT, Block, blocks, named
from tests.support.servers import SERVICE_PASSWORD, scratch_folder
from tests.support.stack import Stack, running_stack


@pytest.fixture(scope="module")
def stack() -> Generator[Stack]:
    with scratch_folder() as folder, running_stack(folder) as running:
        yield running


@pytest.fixture(scope="module")
def finished_run(stack: Stack) -> str:
    """The id of a grants run that has ended, in an organization that no page uses."""
    stack.make_organization("readers")
    grants = Grants(_InOrganization(stack, "readers"))  # pyright: ignore[reportArgumentType]
    run = grants.start()
    grants.register(run)
    for name in VOTERS:
        grants.vote(run, name)
    assert grants.author.finished(run)["status"] == "completed"
    return run


@dataclass
class _InOrganization:
    """The stack's clients, of another organization."""

    stack: Stack
    organization: str

    def client(self, user: str, *roles: str) -> Any:
        return self.stack.client(user, *roles, organization=self.organization)


@pytest.mark.parametrize(
    "page", ["README.md", "docs/api.md", "docs/simulation.md", "docs/operations.md", "docs/cli.md"]
)
def test_answers_as_the_page_says_when_its_commands_are_run(stack: Stack, page: str, tmp_path: Path) -> None:
    shown_in_order = [block for block in blocks("curl", "answer") if block.page == ROOT / page]
    commands = [block for block in shown_in_order if block.kind == "curl"]
    assert commands
    script = tmp_path / "page.sh"
    script.write_text(_here("\n".join(_script(commands, tmp_path)), stack))
    done = subprocess.run(
        ["bash", script],
        cwd=_folder(tmp_path),
        env=_shell(stack),
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    answers = {block.line: _answers(tmp_path / str(block.line)) for block in commands}
    for block in commands:
        codes = [answer["code"] for answer in answers[block.line] if answer.get("success") is False]
        assert codes == block.rest[1:], (block.name, answers[block.line])
    for before, shown in pairwise(shown_in_order):
        if shown.kind == "answer":
            _assert_shows(answers[before.line][-1], json.loads(shown.text), shown.name)


def _script(commands: list[Block], folder: Path) -> Iterator[str]:
    """The blocks in one shell, each with an output of its own; `until` loops end with the process's time."""
    yield "set -euo pipefail"
    yield f'playbook() {{ "{sys.executable}" -m cli.main "$@"; }}'
    if shutil.which("jq") is None:
        yield f'jq() {{ "{sys.executable}" -m tests.support.jq "$@"; }}'
    for block in commands:
        yield f"echo '{block.name}' >&2"
        yield f"{{\n{block.text}\n}} > {folder / str(block.line)}"


def _here(text: str, stack: Stack) -> str:
    """The page's addresses as they are here."""
    return text.replace("http://127.0.0.1:8000", stack.api_url).replace("127.0.0.1:7233", stack.temporal_address)


def _shell(stack: Stack) -> dict[str, str]:
    programs = Path(sys.executable).parent
    return {**stack.environment, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}


def _folder(scratch: Path) -> Path:
    """A folder like a clone's, where a page may leave files."""
    folder = scratch / "clone"
    shutil.copytree(ROOT / "examples", folder / "examples")
    return folder


def _answers(file: Path) -> list[Any]:
    """Every JSON object that the commands printed; other output is passed over."""
    text, decoder, found = file.read_text(), json.JSONDecoder(), list[Any]()
    at = text.find("{")
    while at >= 0:
        try:
            value, end = decoder.raw_decode(text, at)
        except json.JSONDecodeError:
            end = at + 1
        else:
            found.append(value)
        at = text.find("{", end)
    return found


def _assert_shows(real: Any, shown: Any, name: str) -> None:
    """Assert that the answer has what the page shows: fields by name, values equal but for ids of traces."""
    if isinstance(shown, dict):
        for key, value in shown.items():
            assert key in real, (name, key, real)
            if key != "trace_id":
                _assert_shows(real[key], value, f"{name} {key}")
    else:
        assert real == (pytest.approx(shown) if isinstance(shown, float) else shown), name


@named("sql")
def test_answers_as_the_page_says_when_a_query_is_run(stack: Stack, finished_run: str, block: Block) -> None:
    organization = _organization_of(stack, finished_run)
    text = block.text.replace(":'org'", f"'{organization}'").replace(":'run'", f"'{finished_run}'")
    statements = [part.strip() for part in text.split(";") if part.strip()]
    assert "set_config" in statements[0]
    for statement, rows in zip(statements, asyncio.run(_read(_service_url(stack), statements)), strict=True):
        is_empty = "empty" in block.rest and statement is not statements[0]
        assert bool(rows) is not is_empty, statement


async def _read(url: str, statements: list[str]) -> list[list[Any]]:
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            return [await connection.fetch(statement) for statement in statements]
    finally:
        await connection.close()


@named("python")
def test_finds_the_break_when_the_trail_is_checked(
    stack: Stack, finished_run: str, block: Block, tmp_path: Path
) -> None:
    script = tmp_path / "check.py"
    script.write_text(block.text)
    command = [sys.executable, script, _service_url(stack), str(_organization_of(stack, finished_run)), finished_run]

    def check() -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, capture_output=True, text=True, check=False)

    intact = check()
    assert (intact.returncode, intact.stdout[-8:]) == (0, " intact\n"), intact.stderr
    third = "transaction_id = $1 and line_number = 1000003"
    found = stack.rows(f"select line_data from universal_transaction_lines where {third}", UUID(finished_run))
    change = f"update universal_transaction_lines set line_data = $2 where {third}"
    stack.rows(change, UUID(finished_run), {**found[0]["line_data"], "kind": "run_forged"})
    forged = check()
    stack.rows(change, UUID(finished_run), found[0]["line_data"])
    assert (forged.returncode, forged.stderr.strip()) == (1, "entry 3 was changed")
    assert check().returncode == 0


def _organization_of(stack: Stack, run: str) -> UUID:
    return stack.rows("select organization_id from universal_transactions where id = $1", UUID(run))[0][
        "organization_id"
    ]


def _service_url(stack: Stack) -> str:
    assert stack.postgres is not None
    return stack.postgres.url("playbook_service", SERVICE_PASSWORD)

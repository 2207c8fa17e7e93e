"""The documentation says what is true: its examples run, its links lead somewhere, its lists are complete.

A fenced block of JSON, CEL, bash, SQL or Python is preceded by a comment that says how it is tested, or why not:

    <!-- test: playbook -->                  JSON: a document that compiles without an error
    <!-- test: step [refused CODE] -->       JSON: a step in the playbook `AROUND`
    <!-- test: context -->                   JSON: what the page's following expressions may name
    <!-- test: expressions -->               CEL: a line each, with its value or `error CODE` behind `//`
    <!-- test: mapping -->, then result      JSON: what it gives in the context
    <!-- test: condition -> true|false -->   JSON: a condition in its object form
    <!-- test: curl [refused CODE] -->       bash: against a real stack, a page's blocks in one shell
    <!-- test: answer -->                    JSON: fields of the last answer before it
    <!-- test: sql [empty] -->, python       read a finished run as the service's role
    <!-- no test: REASON -->
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from playbooks import document, envelopes, expressions, handlers
from playbooks.compiler import compile_playbook
from playbooks.errors import MappingError, PlaybooksError
from runtime.settings import Settings
from tests.support.grants import VOTERS, Grants
from tests.support.servers import SERVICE_PASSWORD, scratch_folder
from tests.support.stack import Stack, running_stack

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
LANGUAGES = {"json", "cel", "bash", "sql", "python", "yaml", "sh", "shell"}
_BLOCK = re.compile(r"(?:^<!-- (?P<mark>[^\n]*?) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S)


@dataclass(frozen=True, kw_only=True)
class Block:
    """A fenced block. `kind` is the test's name, `rest` the words behind it."""

    page: Path
    line: int
    language: str
    text: str
    mark: str

    @property
    def kind(self) -> str:
        return self.mark.removeprefix("test: ").split()[0] if self.mark.startswith("test: ") else ""

    @property
    def rest(self) -> list[str]:
        return self.mark.split()[2:]

    @property
    def name(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def _blocks(*kinds: str) -> list[Block]:
    found = [
        Block(
            page=page,
            line=text.count("\n", 0, match.start()) + 1,
            language=match["language"],
            text=match["text"],
            mark=match["mark"] or "",
        )
        for page in PAGES
        for text in [page.read_text()]
        for match in _BLOCK.finditer(text)
    ]
    return [block for block in found if not kinds or block.kind in kinds]


def _named(*kinds: str) -> Any:
    return pytest.mark.parametrize("block", _blocks(*kinds), ids=lambda block: block.name)


def _page(name: str) -> str:
    return (ROOT / "docs" / name).read_text()


# -- nothing is left out ---------------------------------------------------------------------------------------------

_KINDS = {"playbook", "step", "context", "expressions", "mapping", "result", "condition", "curl", "answer", "sql"}


def test_every_example_is_run_or_says_why_not_when_pages_are_read() -> None:
    blocks = [block for block in _blocks() if block.language in LANGUAGES]
    unmarked = [
        block.name for block in blocks if block.kind not in _KINDS | {"python"} and not block.mark.startswith("no test: ")
    ]
    assert not unmarked
    assert len(blocks) > 40


def test_links_lead_somewhere_when_pages_are_read() -> None:
    broken: list[str] = []
    for page in PAGES:
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
            if re.match(r"[a-z]+:", target):
                continue
            path, _, anchor = target.partition("#")
            file = (page.parent / path).resolve() if path else page
            if not file.exists() or (anchor and anchor not in _anchors(file)):
                broken.append(f"{page.name}: {target}")
    assert not broken


def _anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_error_code_is_explained_when_the_api_can_answer_it() -> None:
    from api.problems import STATUSES

    documented = dict(re.findall(r"^\| `([A-Z_]+)` \| (\d{3}) \|", _page("api.md"), re.M))
    assert documented == {code: str(status) for code, status in STATUSES.items()}


def test_every_setting_is_explained_when_a_process_reads_it() -> None:
    documented = set(re.findall(r"^\| `(PLAYBOOK_[A-Z_]+)` \|", _page("operations.md"), re.M))
    assert documented == {f"PLAYBOOK_{name.upper()}" for name in Settings.model_fields}


def test_every_call_is_explained_when_the_api_offers_it() -> None:
    from api.app import create_app

    offered = {
        f"{method.upper()} {path.removeprefix('/api/v1')}"
        for path, item in create_app(Settings()).openapi()["paths"].items()
        for method in item
    }
    assert not {call for call in offered if f"`{call}`" not in _page("api.md")}


def test_every_permission_is_explained_when_a_token_can_carry_it() -> None:
    from runtime.tokens import PERMISSIONS

    assert not {name for name in PERMISSIONS if f"| `{name}` |" not in _page("api.md")}


def test_every_field_is_explained_when_a_document_can_hold_it() -> None:
    parts = [
        part
        for part in vars(document).values()
        if isinstance(part, type) and issubclass(part, document.Part) and part is not document.Part
    ]
    built = {name for part in parts for name, field in part.model_fields.items() if field.annotation != document.NotBuilt}
    unbuilt = {name for part in parts for name in part.model_fields} - built
    schemas = [description.config_schema.get("properties") for description in handlers.BUILT_IN.values()]
    built |= {name for properties in schemas if isinstance(properties, dict) for name in properties}
    assert not {name for name in built if f"`{name}`" not in _page("playbook-format.md")}
    assert not {name for name in handlers.BUILT_IN if f"`{name}`" not in _page("playbook-format.md")}
    assert unbuilt
    later = {*unbuilt, *handlers.LATER_HANDLERS, *handlers.LATER_PROVIDERS, *handlers.LATER_AUTH, *envelopes.LATER_VERBS}
    later |= {name for names in handlers.LATER_CONFIG.values() for name in names}
    assert not {name for name in later if f"`{name}`" not in _page("status.md")}


def test_every_kind_of_event_is_explained_when_the_trail_can_hold_it() -> None:
    sources = [*(ROOT / "playbooks").rglob("*.py"), *(ROOT / "storage").glob("*.py")]
    text = "\n".join(path.read_text() for path in sources)
    kinds = set(re.findall(r'(?:record\(\s*|\bkind=)"([a-z]+_[a-z]+)"', text)) - {"task_reminder", "run_finished"}
    kinds -= {"playbook_transition", "step_notification", "temporary_failure"}
    assert len(kinds) > 20
    assert not {kind for kind in kinds if f"`{kind}`" not in _page("tables.md")}


# -- documents and expressions ---------------------------------------------------------------------------------------

AROUND: dict[str, Any] = {
    "name": "Around",
    "code": "around",
    "industry": "EXAMPLES",
    "input_contract": {
        "type": "object",
        "properties": {
            "amount": {"type": "number"},
            "name": {"type": "string"},
            "tax_id": {"type": "string", "x-sensitive": True},
        },
    },
    "steps": [
        {
            "name": "Screen",
            "step_number": 1,
            "step_type": "system",
            "worker_type": "rules_engine",
            "config": {"rules": [{"name": "positive", "when": "input.amount > 0.0"}]},
        },
        {
            "name": "Review",
            "step_number": 2,
            "step_type": "human",
            "worker_type": "reviewer",
            "required_roles": ["reviewer"],
            "output_contract": {"type": "object", "properties": {"score": {"type": "number"}}},
        },
    ],
}


@_named("playbook", "step")
def test_compiles_as_the_page_says_when_it_is_a_document(block: Block) -> None:
    value = json.loads(block.text)
    if block.kind == "step":
        step = {"name": "Example", "step_number": 3, **value}
        value = {**AROUND, "steps": [*AROUND["steps"], step]}
    refused = block.rest[1] if block.rest else None
    try:
        read = document.read_document(value)
        compiled = compile_playbook(read, playbook_id=uuid4(), version=1)
        codes, warnings = {problem.code for problem in compiled.errors}, compiled.warnings
    except PlaybooksError as error:
        codes, warnings = {problem.code for problem in error.problems}, ()
    assert codes == ({refused} if refused else set())
    assert not warnings


def _context_before(block: Block) -> Any:
    before = [other for other in _blocks("context") if other.page == block.page and other.line < block.line]
    return json.loads(before[-1].text)


@_named("expressions")
def test_gives_what_the_page_says_when_it_is_an_expression(block: Block) -> None:
    context = _context_before(block)
    for line in block.text.splitlines():
        text, _, wanted = line.rpartition("//")
        if wanted.split()[0] == "error":
            with pytest.raises(MappingError) as refused:
                expressions.evaluate(text.strip(), context)
            assert [problem.code for problem in refused.value.problems] == wanted.split()[1:], line
        else:
            assert json.dumps(expressions.evaluate(text.strip(), context)) == wanted.strip(), line


@_named("mapping")
def test_gives_what_the_page_says_when_it_is_a_mapping(block: Block) -> None:
    result = next(other for other in _blocks("result") if other.page == block.page and other.line > block.line)
    assert expressions.resolve(json.loads(block.text), _context_before(block)) == json.loads(result.text)


@_named("condition")
def test_holds_as_the_page_says_when_it_is_a_condition(block: Block) -> None:
    result = expressions.evaluate_condition(json.loads(block.text), _context_before(block))
    assert result.holds is json.loads(block.rest[-1])


# -- against a real stack --------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("page", ["README.md", "docs/api.md", "docs/operations.md"])
def test_answers_as_the_page_says_when_its_commands_are_run(stack: Stack, page: str, tmp_path: Path) -> None:
    blocks = [block for block in _blocks("curl", "answer") if block.page == ROOT / page]
    commands = [block for block in blocks if block.kind == "curl"]
    assert commands
    script = tmp_path / "page.sh"
    script.write_text(_here("\n".join(_script(commands, tmp_path)), stack))
    done = subprocess.run(
        ["bash", script], cwd=_folder(tmp_path), env=_shell(stack), capture_output=True, text=True, check=False, timeout=180
    )
    assert done.returncode == 0, done.stderr
    answers = {block.line: _answers(tmp_path / str(block.line)) for block in commands}
    for block in commands:
        codes = [answer["code"] for answer in answers[block.line] if answer.get("success") is False]
        assert codes == block.rest[1:], (block.name, answers[block.line])
    for before, shown in pairwise(blocks):
        if shown.kind == "answer":
            _assert_shows(answers[before.line][-1], json.loads(shown.text), shown.name)


def _script(commands: list[Block], folder: Path) -> Iterator[str]:
    """The blocks in one shell, each with an output of its own; `until` loops end with the process's time."""
    yield "set -euo pipefail"
    yield f'playbook() {{ "{sys.executable}" -m cli.main "$@"; }}'
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
    """What a page shows is there: fields by name, values equal but for ids of traces."""
    if isinstance(shown, dict):
        for key, value in shown.items():
            assert key in real, (name, key, real)
            if key != "trace_id":
                _assert_shows(real[key], value, f"{name} {key}")
    else:
        assert real == (pytest.approx(shown) if isinstance(shown, float) else shown), name


@_named("sql")
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


@_named("python")
def test_finds_the_break_when_the_trail_is_checked(
    stack: Stack, finished_run: str, block: Block, tmp_path: Path
) -> None:
    script = tmp_path / "check.py"
    script.write_text(block.text)
    command = [sys.executable, script, _service_url(stack), str(_organization_of(stack, finished_run)), finished_run]

    def check() -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, capture_output=True, text=True, check=False)

    intact = check()
    assert (intact.returncode, intact.stdout[-8:]) == (0, "intact\n"), intact.stderr
    change = """update universal_transaction_lines set line_data = jsonb_set(line_data, '{kind}', $2)
        where transaction_id = $1 and line_number = 1000003"""
    before = stack.rows("select line_data->'kind' as kind from universal_transaction_lines where id is not null limit 0")
    assert before == []
    kind = stack.rows(
        "select line_data as data from universal_transaction_lines where transaction_id = $1 and line_number = 1000003",
        UUID(finished_run),
    )[0]["data"]["kind"]
    stack.rows(change, UUID(finished_run), "run_forged")
    forged = check()
    stack.rows(change, UUID(finished_run), kind)
    assert (forged.returncode, forged.stderr.strip()) == (1, "entry 3 was changed")
    assert check().returncode == 0


def _organization_of(stack: Stack, run: str) -> UUID:
    return stack.rows("select organization_id from universal_transactions where id = $1", UUID(run))[0]["organization_id"]


def _service_url(stack: Stack) -> str:
    assert stack.postgres is not None
    return stack.postgres.url("playbook_service", SERVICE_PASSWORD)

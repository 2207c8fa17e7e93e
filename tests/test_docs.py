"""The documentation says what is true: links lead somewhere, lists are complete, documents and expressions do as said.

How an example is marked is told in `tests/support/pages.py`; what needs servers is in `test_docs_examples.py`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args
from uuid import uuid4

import pytest

from playbooks.common.errors import MappingError, PlaybooksError
from playbooks.common.values import ErrorKind
from playbooks.compiler.compile import compile_playbook
from playbooks.document import handler_catalog, model
from playbooks.engine.model import control_messages
from playbooks.expressions import cel
from runtime.settings import Settings
from runtime.yaml_text import from_yaml
from tests.support.pages import LANGUAGES, PAGES, ROOT, Block, blocks, named, page_of_docs

# -- nothing is left out ---------------------------------------------------------------------------------------------

_KINDS = {
    *("playbook", "step", "context", "expressions", "mapping", "result", "condition", "curl", "answer", "sql"),
    *("problem", "yaml"),
}


def test_every_example_is_run_or_says_why_not_when_pages_are_read() -> None:
    examples = [block for block in blocks() if block.language in LANGUAGES]
    unmarked = [
        block.name
        for block in examples
        if block.kind not in _KINDS | {"python"} and not block.mark.startswith("no test: ")
    ]
    assert not unmarked
    assert len(examples) > 40


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
    from api.http.problems import STATUSES

    documented = dict(re.findall(r"^\| `([A-Z_]+)` \| (\d{3}) \|", page_of_docs("api.md"), re.M))
    assert documented == {code: str(status) for code, status in STATUSES.items()}


def test_every_setting_is_explained_when_a_process_reads_it() -> None:
    documented = set(re.findall(r"^\| `(PLAYBOOK_[A-Z_]+)` \|", page_of_docs("operations.md"), re.M))
    assert documented == {f"PLAYBOOK_{name.upper()}" for name in Settings.model_fields}


def test_every_call_is_explained_when_the_api_offers_it() -> None:
    from api.app import create_app

    offered = {
        f"{method.upper()} {path.removeprefix('/api/v1')}"
        for path, item in create_app(Settings()).openapi()["paths"].items()
        for method in item
    }
    assert not {call for call in offered if f"`{call}`" not in page_of_docs("api.md")}


def test_every_permission_is_explained_when_a_token_can_carry_it() -> None:
    from playbooks.common.permissions import PERMISSIONS

    assert not {name for name in PERMISSIONS if f"| `{name}` |" not in page_of_docs("api.md")}


def test_every_field_is_explained_when_a_document_can_hold_it() -> None:
    parts = [
        part
        for part in vars(model).values()
        if isinstance(part, type) and issubclass(part, model.Part) and part is not model.Part
    ]
    built = {
        field.alias or name
        for part in parts
        for name, field in part.model_fields.items()
        if field.annotation != model.NotBuilt
    }
    unbuilt = {field.alias or name for part in parts for name, field in part.model_fields.items()} - built
    schemas = [description.config_schema.get("properties") for description in handler_catalog.BUILT_IN.values()]
    built |= {name for properties in schemas if isinstance(properties, dict) for name in properties}
    assert not {name for name in built if f"`{name}`" not in page_of_docs("playbook-format.md")}
    assert not {name for name in handler_catalog.BUILT_IN if f"`{name}`" not in page_of_docs("playbook-format.md")}
    assert unbuilt
    later = {
        *unbuilt,
        *handler_catalog.LATER_HANDLERS,
        *handler_catalog.LATER_PROVIDERS,
        *handler_catalog.LATER_AUTH,
        *control_messages.LATER_VERBS,
    }
    later |= {name for names in handler_catalog.LATER_CONFIG.values() for name in names}
    assert not {name for name in later if f"`{name}`" not in page_of_docs("status.md")}


def test_every_kind_of_event_is_explained_when_the_trail_can_hold_it() -> None:
    sources = [*(ROOT / "playbooks").rglob("*.py"), *(ROOT / "storage").glob("*.py")]
    text = "\n".join(path.read_text() for path in sources)
    kinds = set(re.findall(r'(?:record\(\s*|\bkind=)"([a-z]+_[a-z]+)"', text)) - {"task_reminder", "run_finished"}
    kinds -= {"playbook_transition", "step_notification", *get_args(ErrorKind)}
    assert len(kinds) > 20
    assert not {kind for kind in kinds if f"`{kind}`" not in page_of_docs("tables.md")}


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


@named("yaml")
def test_is_the_document_before_it_when_it_is_written_as_yaml(block: Block) -> None:
    written: Any = from_yaml(block.text)
    earlier = [other for other in blocks("playbook") if other.page == block.page and other.line < block.line]
    before = [other for other in earlier if json.loads(other.text)["code"] == written["code"]]
    read = model.read_document(written)
    assert compile_playbook(read, playbook_id=uuid4(), version=1).problems == ()
    assert written == (json.loads(before[-1].text) if before else written)


@named("playbook", "step")
def test_compiles_as_the_page_says_when_it_is_a_document(block: Block) -> None:
    value = json.loads(block.text)
    if block.kind == "step":
        step = {"name": "Example", "step_number": 3, **value}
        value = {**AROUND, "steps": [*AROUND["steps"], step]}
    refused = block.rest[1] if block.rest else None
    try:
        read = model.read_document(value)
        compiled = compile_playbook(read, playbook_id=uuid4(), version=1)
        codes, warnings = {problem.code for problem in compiled.errors}, compiled.warnings
    except PlaybooksError as error:
        codes, warnings = {problem.code for problem in error.problems}, ()
    assert codes == ({refused} if refused else set())
    assert not warnings


def _context_before(block: Block) -> Any:
    before = [other for other in blocks("context") if other.page == block.page and other.line < block.line]
    return json.loads(before[-1].text)


@named("expressions")
def test_gives_what_the_page_says_when_it_is_an_expression(block: Block) -> None:
    context = _context_before(block)
    for line in block.text.splitlines():
        text, _, wanted = line.rpartition("//")
        if wanted.split()[0] == "error":
            with pytest.raises(MappingError) as refused:
                cel.evaluate(text.strip(), context)
            assert [problem.code for problem in refused.value.problems] == wanted.split()[1:], line
        else:
            assert json.dumps(cel.evaluate(text.strip(), context)) == wanted.strip(), line


@named("mapping")
def test_gives_what_the_page_says_when_it_is_a_mapping(block: Block) -> None:
    result = next(other for other in blocks("result") if other.page == block.page and other.line > block.line)
    assert cel.resolve(json.loads(block.text), _context_before(block)) == json.loads(result.text)


@named("condition")
def test_holds_as_the_page_says_when_it_is_a_condition(block: Block) -> None:
    result = cel.evaluate_condition(json.loads(block.text), _context_before(block))
    assert result.holds is json.loads(block.rest[-1])

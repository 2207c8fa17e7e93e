"""Each problem code has its page, and the example on a page gives that code, at the place that it names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from playbooks.common.errors import MappingError, PlaybooksError, Problem
from playbooks.compiler.compile import compile_playbook
from playbooks.contracts import validation
from playbooks.document import editing, model
from playbooks.expressions import cel
from playbooks.simulation.given import Given, GivenAttempt, problems_of
from tests.playbooks.building import plan_of
from tests.playbooks.simulating import played
from tests.support.codes import codes_of_errors, codes_of_problems, codes_of_runs
from tests.support.pages import ROOT, Block, blocks, named
from tests.test_docs import AROUND

FOLDER = ROOT / "docs" / "problems"
SMALL: dict[str, Any] = {
    "name": "Example",
    "code": "example",
    "industry": "EXAMPLES",
    "steps": [{"name": "Only", "step_number": 1, "step_type": "system", "worker_type": "data_processor"}],
}


def test_every_code_has_its_page_when_the_source_is_read() -> None:
    from api.http.problems import STATUSES

    codes = codes_of_errors() | codes_of_problems() | set(STATUSES)
    others = ("README", "run-errors")
    pages = {page.stem.upper().replace("-", "_"): page for page in FOLDER.glob("*.md") if page.stem not in others}
    assert set(pages) == codes
    index = (FOLDER / "README.md").read_text()
    for code, page in pages.items():
        text = page.read_text()
        assert text.startswith(f"# {code}\n")
        assert "\n## Example\n" in text
        assert "\n## How to fix it\n" in text
        assert f"[`{code}`]({page.name})" in index


def test_every_code_of_a_document_has_an_example_that_is_run() -> None:
    """But for what is too large to be written down, and what only a request or a run can bring about."""
    told = {block.page.stem.upper().replace("-", "_") for block in blocks("problem")}
    without = codes_of_problems() - codes_of_errors() - told
    large = {"PLAN_TOO_LARGE", "TOO_DEEP", "TOO_LARGE", "TOO_LONG"}
    assert without == {"DRAFT_EXISTS", "INVALID_CURSOR", "NOT_AN_OBJECT", *large}


def test_every_code_of_a_run_is_explained_when_a_step_can_fail_with_it() -> None:
    codes = codes_of_runs()
    assert len(codes) > 25
    # Told to nobody: such an attempt is made again, and does not count.
    assert not {code for code in codes - {"NOT_STARTED"} if f"`{code}`" not in (FOLDER / "run-errors.md").read_text()}


@named("problem")
def test_gives_its_code_when_the_example_is_read(block: Block) -> None:
    shape, pointer = block.rest[0], block.rest[1] if block.rest[1] != "/" else ""
    found = _SHAPES[shape](json.loads(block.text))
    assert [(item.code, item.pointer) for item in found] == [(_code_of(block.page), pointer)]
    is_warning = "A **warning**" in block.page.read_text()
    assert [item.severity for item in found] == ["warning" if is_warning else "error"]


def _code_of(page: Path) -> str:
    return page.stem.upper().replace("-", "_")


def _of_document(value: Any) -> tuple[Problem, ...]:
    try:
        read = model.read_document(value)
    except PlaybooksError as error:
        return error.problems
    return compile_playbook(read, playbook_id=uuid4(), version=1).problems


def _of_playbook(value: Any) -> tuple[Problem, ...]:
    return _of_document({**SMALL, **value})


def _with_step(value: Any) -> dict[str, Any]:
    return {**AROUND, "steps": [*AROUND["steps"], {"name": "Example", "step_number": 3, **value}]}


def _of_step(value: Any) -> tuple[Problem, ...]:
    return _of_document(_with_step(value))


def _of_value(value: Any) -> tuple[Problem, ...]:
    return validation.validate(value["contract"], value["value"])


def _of_expression(value: Any) -> tuple[Problem, ...]:
    with pytest.raises(MappingError) as refused:
        cel.evaluate(value["expression"], value["context"])
    return refused.value.problems


def _of_added(value: Any) -> tuple[Problem, ...]:
    with pytest.raises(PlaybooksError) as refused:
        editing.add_steps({**SMALL, **value}, value["add"], mode="append")
    return refused.value.problems


def _of_removed(value: Any) -> tuple[Problem, ...]:
    model = {name: part for name, part in {**SMALL, **value}.items() if name != "remove"}
    with pytest.raises(PlaybooksError) as refused:
        editing.remove_step(model, value["remove"])
    return refused.value.problems


def _of_simulation(value: Any) -> tuple[Problem, ...]:
    around = {**SMALL, **{name: part for name, part in value.items() if name == "steps"}}
    attempts = {
        key: tuple(GivenAttempt(**item) for item in items) for key, items in value.get("step_results", {}).items()
    }
    refused = problems_of(Given(attempts=attempts), plan_of(around))
    if refused:
        return refused
    bounds = {"max_events": value["max_events"]} if "max_events" in value else None
    return played(around, attempts={key: list(items) for key, items in attempts.items()}, bounds=bounds).problems


_SHAPES = {
    "playbook": _of_playbook,
    "step": _of_step,
    "value": _of_value,
    "expression": _of_expression,
    "add": _of_added,
    "remove": _of_removed,
    "simulation": _of_simulation,
}

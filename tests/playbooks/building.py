"""Small documents for tests of the domain: a valid one, and changes to it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

from playbooks.compiler.compile import CompiledPlaybook, compile_playbook
from playbooks.document.model import read_document
from playbooks.engine.model.plan import Plan

EXAMPLES = Path(__file__).parents[2] / "examples"
VERSION_ID = UUID("6b3f0c1e-5f0e-4d1a-9d5c-0a8f1c2d3e4f")

Document = dict[str, Any]
Change = Callable[[Document], object]


def grants() -> Document:
    return json.loads((EXAMPLES / "grants-intake.playbook.json").read_text())


def system(number: int, name: str, **fields: Any) -> Document:
    """A data_processor step without settings."""
    return {"name": name, "step_number": number, "step_type": "system", "worker_type": "data_processor", **fields}


def human(number: int, name: str, **fields: Any) -> Document:
    given = {"step_type": "human", "worker_type": "approver", "required_roles": ["clerk"], **fields}
    return {"name": name, "step_number": number, **given}


def playbook(*steps: Document, **fields: Any) -> Document:
    return {"name": "Test", "code": "test-book", "industry": "FINANCE", "steps": list(steps), **fields}


def changed(document: Document, change: Change) -> Document:
    result = copy.deepcopy(document)
    change(result)
    return result


def compiled(document: Document) -> CompiledPlaybook:
    return compile_playbook(read_document(document), playbook_id=VERSION_ID, version=1)


def plan_of(document: Document) -> Plan:
    result = compiled(document)
    assert result.plan is not None, result.problems
    return result.plan


def found(document: Document) -> set[tuple[str, str]]:
    """The problems of a document as (code, pointer)."""
    return {(problem.code, problem.pointer) for problem in compiled(document).problems}

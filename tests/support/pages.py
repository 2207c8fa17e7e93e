"""The documentation's pages and the fenced blocks in them.

A fenced block of JSON, CEL, bash, SQL or Python is preceded by a comment with its test, or the reason for none:

    <!-- test: playbook -->                  JSON: a document that compiles without an error
    <!-- test: step [refused CODE] -->       JSON: a step in the playbook `AROUND`
    <!-- test: yaml -->                     YAML: the same playbook as the JSON of that code before it
    <!-- test: problem SHAPE POINTER -->    JSON: what gives the code of its page (docs/problems), at that pointer
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

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
_OUTSIDE_DOCS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "tests/chaos/README.md")
PAGES = [*(ROOT / name for name in _OUTSIDE_DOCS), *sorted((ROOT / "docs").rglob("*.md"))]
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


def blocks(*kinds: str) -> list[Block]:
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


def named(*kinds: str) -> Any:
    return pytest.mark.parametrize("block", blocks(*kinds), ids=lambda block: block.name)


def page_of_docs(name: str) -> str:
    return (ROOT / "docs" / name).read_text()

"""The page of conformance is true: each pattern's playbook is played on the real machine, and shows its pattern.

The tests are generated from the page's table, so page, files and tests cannot differ.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest

from playbooks.common.errors import NotSupportedError
from playbooks.document.model import read_document
from tests.playbooks import pattern_branches, pattern_instances
from tests.playbooks.building import compiled
from tests.support.pages import ROOT, page_of_docs
from tests.support.pattern_essences import ESSENCES
from tests.support.pattern_plays import FOLDER, document_of, documents, played, plays_of

assert pattern_branches, pattern_instances  # they fill ESSENCES

NAMES = (
    "Sequence",
    "Parallel Split",
    "Synchronization",
    "Exclusive Choice",
    "Simple Merge",
    "Multi-Choice",
    "Structured Synchronizing Merge",
    "Multi-Merge",
    "Structured Discriminator",
    "Arbitrary Cycles",
    "Implicit Termination",
    "Multiple Instances without Synchronization",
    "Multiple Instances with a priori Design-Time Knowledge",
    "Multiple Instances with a priori Run-Time Knowledge",
    "Multiple Instances without a priori Run-Time Knowledge",
    "Deferred Choice",
    "Interleaved Parallel Routing",
    "Milestone",
    "Cancel Task",
    "Cancel Case",
    "Structured Loop",
    "Recursion",
    "Transient Trigger",
    "Persistent Trigger",
    "Cancel Region",
    "Cancel Multiple Instance Task",
    "Complete Multiple Instance Task",
    "Blocking Discriminator",
    "Cancelling Discriminator",
    "Structured Partial Join",
    "Blocking Partial Join",
    "Cancelling Partial Join",
    "Generalized AND-Join",
    "Static Partial Join for Multiple Instances",
    "Cancelling Partial Join for Multiple Instances",
    "Dynamic Partial Join for Multiple Instances",
    "Local Synchronizing Merge",
    "General Synchronizing Merge",
    "Critical Section",
    "Interleaved Routing",
    "Thread Merge",
    "Thread Split",
    "Explicit Termination",
)
"""As published on the site of the Workflow Patterns Initiative, from WCP-1 on."""


@dataclass(frozen=True)
class Row:
    """A row of the page's table. `code` is its playbook's, or None."""

    number: int
    name: str
    support: str
    how: str
    code: str | None


_ROW = re.compile(r"^\| WCP-(\d+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \| ([^|]*) ?\|$", re.M)


def _row(found: tuple[str, ...]) -> Row:
    number, name, support, how, link = (text.strip() for text in found)
    target = re.fullmatch(r"\[.+\]\(\.\./examples/patterns/(.+)\.json\)", link)
    assert bool(target) is bool(link), link
    return Row(int(number), name, support, how, target[1] if target else None)


ROWS = [_row(found) for found in _ROW.findall(page_of_docs("conformance.md"))]
SHOWN = [row for row in ROWS if row.support != "not"]
PLAYS = [(row.code, name) for row in SHOWN if row.code is not None for name in plays_of(row.code)]


def test_the_page_names_each_pattern_as_published() -> None:
    assert [row.number for row in ROWS] == list(range(1, 44))
    assert tuple(row.name for row in ROWS) == NAMES
    assert {row.support for row in ROWS} == {"directly", "by combination", "not"}
    assert all(row.how.endswith(".") for row in ROWS)


def test_the_pages_counts_match_its_table() -> None:
    stated = re.findall(r"\*\*(\d+) (directly|by combination|not)\*\*", page_of_docs("conformance.md"))
    counts = {kind: int(number) for number, kind in stated}
    assert counts == {kind: sum(row.support == kind for row in ROWS) for kind in ("directly", "by combination", "not")}
    assert counts["directly"] >= 28


def test_each_playbook_has_a_row_and_a_line_in_the_index() -> None:
    assert sorted(row.code for row in ROWS if row.code is not None) == documents()
    assert all(row.code is not None and row.code.startswith(f"wcp-{row.number:02d}-") for row in SHOWN)
    index = (FOLDER / "README.md").read_text()
    links = re.findall(r"\]\(([^)]+)\)", index)
    files = {path.name for path in FOLDER.iterdir()} - {"README.md"}
    assert {link for link in links if "/" not in link} == files
    assert all((FOLDER / link).resolve().exists() for link in links)
    assert (ROOT / "docs" / "conformance.md").exists()


@pytest.mark.parametrize("code", documents())
def test_is_called_supported_exactly_when_its_playbook_compiles(code: str) -> None:
    """A playbook for a feature that is not built yet needs plays and a row once the feature is built."""
    row = next(row for row in ROWS if row.code == code)
    document = document_of(code)
    assert document["code"] == code
    try:
        read_document(document)
        result = compiled(document)
        is_supported = not result.problems
        assert is_supported, result.problems
    except NotSupportedError:
        is_supported = False
    assert is_supported is (row.support != "not"), f"update WCP-{row.number} on the page"
    assert is_supported is (FOLDER / f"{code}.plays.json").exists(), f"write {code}.plays.json"


@pytest.mark.parametrize(("code", "name"), PLAYS)
def test_play_produces_its_trace(code: str, name: str) -> None:
    play = played(code, name)
    assert list(play.lines) == plays_of(code)[name]["trace"]
    assert play.simulated.problems == ()
    sent = [*play.simulated.decisions, *play.simulated.messages]
    assert all(item.verdict is not None and item.verdict.outcome == "accepted" for item in sent)


@pytest.mark.parametrize("row", SHOWN, ids=lambda row: f"WCP-{row.number}")
def test_plays_show_the_pattern(row: Row) -> None:
    assert row.code is not None
    ESSENCES[row.number]({name: played(row.code, name) for name in plays_of(row.code)})


def test_every_supported_pattern_is_checked_and_no_other() -> None:
    assert set(ESSENCES) == {row.number for row in SHOWN}

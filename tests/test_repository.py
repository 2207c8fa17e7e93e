"""The files for contributors: CI workflow, templates, local hooks, licence, one version, decision records."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.http import openapi
from tests.support.pages import ROOT

GITHUB = ROOT / ".github"
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
_SECTIONS = ["Context", "Decision", "Consequences", "Alternatives considered"]


def _yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def test_workflow_runs_the_script_of_contributors() -> None:
    workflow = _yaml(GITHUB / "workflows" / "ci.yml")
    steps = workflow["jobs"]["check"]["steps"]
    assert [step["run"] for step in steps if "run" in step] == [".ci/run"]
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    assert workflow["permissions"] == {"contents": "read"}
    # YAML 1.1 reads the key `on` as true.
    assert set(workflow[True]) == {"push", "pull_request"}


@pytest.mark.parametrize("form", sorted((GITHUB / "ISSUE_TEMPLATE").glob("*.yml")), ids=lambda path: path.stem)
def test_issue_forms_are_complete(form: Path) -> None:
    value = _yaml(form)
    assert value["name"]
    assert value["description"]
    fields = [part for part in value["body"] if part["type"] != "markdown"]
    assert all(part["attributes"]["label"] for part in fields)
    assert len({part["id"] for part in fields}) == len(fields)


def test_hooks_are_local_and_run_installed_tools() -> None:
    config = _yaml(ROOT / ".pre-commit-config.yaml")
    assert [repo["repo"] for repo in config["repos"]] == ["local"]
    hooks = config["repos"][0]["hooks"]
    assert {hook["language"] for hook in hooks} == {"system"}
    programs = {hook["entry"].split()[0] for hook in hooks}
    assert programs == {".venv/bin/ruff", ".venv/bin/pyright", ".venv/bin/lint-imports"}
    makefile = (ROOT / "Makefile").read_text()
    assert all(f"$(BIN)/{Path(program).name}" in makefile for program in programs)


def test_licence_is_the_one_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["license"] == "Apache-2.0"
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License\n                           Version 2.0" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_version_is_the_same_everywhere() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    releases = re.findall(r"^## \[(.+?)\](?: - (\d{4}-\d\d-\d\d))?$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert releases[0] == ("Unreleased", "")
    assert releases[1][0] == version == openapi.VERSION
    assert all(date for _, date in releases[1:])


@pytest.mark.parametrize("record", DECISIONS, ids=lambda path: path.stem)
def test_decision_has_every_part(record: Path) -> None:
    text = record.read_text()
    assert text.startswith(f"# {record.name[:4]}: ")
    assert re.search(r"^- Date: \d{4}-\d\d-\d\d$", text, re.M)
    assert re.search(r"^- Status: (proposed|accepted|superseded by \[\d{4}\]\(.+\))$", text, re.M)
    assert re.findall(r"^## (.+)$", text, re.M) == _SECTIONS


def test_decisions_are_numbered_without_a_gap_and_listed() -> None:
    assert [int(record.name[:4]) for record in DECISIONS] == list(range(1, len(DECISIONS) + 1))
    index = (ROOT / "docs" / "decisions" / "README.md").read_text()
    listed = re.findall(r"^\| \[(\d{4})\]\((.+?)\) \| (.+?) \|", index, re.M)
    titles = [record.read_text().partition("\n")[0].removeprefix("# ") for record in DECISIONS]
    assert [(f"{number}: {title}", file) for number, file, title in listed] == [
        (title, record.name) for title, record in zip(titles, DECISIONS, strict=True)
    ]

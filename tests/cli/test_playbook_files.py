"""Playbooks as files: checked without a server; sent, fetched and compared with a real one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cli.playbooks.diff import changes
from cli.playbooks.files import read_file
from playbooks.common.errors import MalformedRequestError, ValidationError
from runtime.tokens import issue_token
from runtime.yaml_text import to_yaml
from tests.support import stacks
from tests.support.servers import JWT_SECRET
from tests.support.stack import Stack

EXAMPLE = Path(__file__).parents[2] / "examples" / "grants-intake.playbook.json"
SMALL: dict[str, Any] = {
    "name": "Small",
    "code": "small-book",
    "industry": "RETAIL",
    "steps": [{"name": "Only", "step_number": 1, "step_type": "system", "worker_type": "data_processor"}],
}


def written(path: Path, document: Any) -> Path:
    path.write_text(to_yaml(document) if path.suffix == ".yaml" else json.dumps(document))
    return path


def playbooks(home: Path, *arguments: str | Path, **settings: str) -> Any:
    return stacks.run_here("playbooks", *arguments, home=home, PLAYBOOK_DATA_DIR=str(home / "none"), **settings)


@pytest.mark.parametrize("name", ["a.json", "a.yaml", "a.yml"])
def test_a_file_is_valid_when_it_can_be_published(tmp_path: Path, name: str) -> None:
    document = json.loads(EXAMPLE.read_text())
    path = tmp_path / name
    path.write_text(json.dumps(document) if name == "a.json" else to_yaml(document))
    done = playbooks(tmp_path, "validate", path)
    assert (done.returncode, done.stdout) == (0, f"{path}: valid, 0 errors, 1 warnings\n")
    assert "warning NO_REVIEWERS at /steps/2/required_roles" in done.stderr


def test_problems_are_printed_for_people_and_for_machines_when_a_file_is_wrong(tmp_path: Path) -> None:
    step = {**SMALL["steps"][0], "condition": "steps.nosuch.status == 'completed'"}
    good, bad = written(tmp_path / "a.json", SMALL), written(tmp_path / "b.yaml", {**SMALL, "steps": [step]})
    done = playbooks(tmp_path, "validate", good, bad, "--json")
    assert done.returncode == 1
    answer = json.loads(done.stdout)
    assert (answer["is_valid"], [each["is_valid"] for each in answer["files"]]) == (False, [True, False])
    assert [each["code"] for each in answer["files"][1]["errors"]] == ["UNKNOWN_REFERENCE"]
    assert f"{bad}: error UNKNOWN_REFERENCE at /steps/0/condition" in done.stderr


@pytest.mark.parametrize(
    ("name", "text", "code"),
    [
        ("a.json", "{", "VALIDATION_ERROR"),
        ("a.json", '{"name": NaN}', "VALIDATION_ERROR"),
        ("a.json", '{"name": "a", "name": "b"}', "DUPLICATE"),
        ("a.yaml", "name: &a x", "VALIDATION_ERROR"),
        ("a.yaml", "name: a\nname: b", "DUPLICATE"),
        ("a.yaml", "", "WRONG_TYPE"),
    ],
)
def test_a_file_is_refused_when_it_cannot_be_read(tmp_path: Path, name: str, text: str, code: str) -> None:
    (tmp_path / name).write_text(text)
    done = playbooks(tmp_path, "validate", tmp_path / name, "--json")
    assert done.returncode == 1
    assert [each["code"] for each in json.loads(done.stdout)["files"][0]["errors"]][:1] == [code]
    assert "Traceback" not in done.stderr


def test_every_playbook_file_is_found_when_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    written(tmp_path / "a.playbook.json", SMALL)
    written(tmp_path / "inner" / "b.playbook.yaml", SMALL)
    (tmp_path / "other.json").write_text("{}")
    done = playbooks(tmp_path, "validate", tmp_path, "--json")
    names = [Path(each["file"]).name for each in json.loads(done.stdout)["files"]]
    assert (done.returncode, names) == (0, ["a.playbook.json", "b.playbook.yaml"])


@pytest.mark.parametrize(
    "arguments",
    [
        ("validate",),
        ("validate", "nosuch.json"),
        ("validate", "a.txt"),
        ("validate", "a.json", "--nosuch"),
        ("explode",),
        ("pull",),
        ("pull", "a-code"),
        ("diff", "a.json"),
        ("push", "a.json"),
    ],
)
def test_it_ends_with_2_when_it_was_called_wrongly(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    written(tmp_path / "a.json", SMALL)
    named = [str(tmp_path / each) if "." in each else each for each in arguments]
    done = playbooks(tmp_path, *named)
    assert (done.returncode, done.stdout) == (2, ""), (done.stdout, done.stderr)
    assert done.stderr
    assert "Traceback" not in done.stderr


def test_the_reason_is_printed_when_the_api_is_away(tmp_path: Path) -> None:
    away = {"PLAYBOOK_API_URL": "http://127.0.0.1:1", "PLAYBOOK_TOKEN": "hush"}
    done = playbooks(tmp_path, "pull", "a-code", "--json", **away)
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"]["code"] == "SERVICE_UNAVAILABLE"
    assert "the API does not answer" in done.stderr
    assert "hush" not in done.stderr + done.stdout


def test_each_place_is_named_when_two_documents_differ() -> None:
    before = {"a": 1, "b": [1, {"c": True}], "d": 1, "same": [1.5]}
    after = {"a": 1.0, "b": [1, {"c": 1}, 3], "e/f": 1, "same": [1.5]}
    assert list(changes(before, after)) == [
        ("/a", "changed"),
        ("/b/1/c", "changed"),
        ("/b/2", "added"),
        ("/d", "removed"),
        ("/e~1f", "added"),
    ]


def test_both_formats_are_strict_when_a_file_is_read(tmp_path: Path) -> None:
    for name, text, error in (
        ("a.json", "[" * 100_000, MalformedRequestError),
        ("a.json", '{"a": {"b": 1, "b": 2}}', ValidationError),
        ("a.yaml", "a: 1\na: 2", ValidationError),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(error):
            read_file(tmp_path / name)


@pytest.fixture
def account(stack: Stack) -> dict[str, str]:
    assert stack.organization_id is not None
    token = issue_token(JWT_SECRET, organization_id=stack.organization_id, subject="anna", roles=())
    return {"PLAYBOOK_API_URL": stack.api_url, "PLAYBOOK_TOKEN": token}


def test_a_file_goes_there_and_back_when_it_is_kept_in_a_folder(tmp_path: Path, account: dict[str, str]) -> None:
    def call(*arguments: str | Path, code: int = 0) -> Any:
        done = playbooks(tmp_path, *arguments, "--json", **account)
        assert done.returncode == code, (done.stdout, done.stderr)
        return json.loads(done.stdout)

    path = written(tmp_path / "small.playbook.yaml", SMALL)
    assert call("push", tmp_path)["pushed"][0]["action"] == "created"
    assert call("push", path)["pushed"][0]["action"] == "unchanged"
    assert call("diff", path)["differs"] is False
    written(path, {**SMALL, "description": "on: 2026-01-31"})
    assert call("diff", path, code=1)["changes"] == [{"pointer": "/description", "change": "added"}]
    pushed = call("push", path, "--publish")["pushed"][0]
    assert (pushed["action"], pushed["version"], pushed["status"]) == ("changed", 1, "active")
    written(path, {**SMALL, "description": "second"})
    pushed = call("push", path)["pushed"][0]
    assert (pushed["version"], pushed["status"]) == (2, "draft")
    for name in ("back.json", "back.yaml"):
        call("pull", "small-book", "--version", "1", "-o", tmp_path / name)
        assert read_file(tmp_path / name) == {**SMALL, "description": "on: 2026-01-31"}
    plain = playbooks(tmp_path, "pull", "small-book", **account)
    assert json.loads(plain.stdout)["description"] == "second"
    shown = playbooks(tmp_path, "diff", path, "--version", "1", **account)
    assert shown.returncode == 1
    assert '+  "description": "second",' in shown.stdout.splitlines()


def test_the_problem_is_printed_when_the_api_refuses(tmp_path: Path, account: dict[str, str]) -> None:
    missing = playbooks(tmp_path, "pull", "nosuch-book", **account)
    assert (missing.returncode, missing.stdout) == (1, "")
    assert "nosuch-book" in missing.stderr
    path = written(tmp_path / "a.json", SMALL)
    refused = playbooks(tmp_path, "push", path, "--json", **{**account, "PLAYBOOK_TOKEN": "nonsense"})
    assert refused.returncode == 1
    assert json.loads(refused.stdout)["error"]["code"] == "UNAUTHORIZED"
    assert "Traceback" not in refused.stderr


def test_nothing_is_sent_when_one_file_is_wrong(tmp_path: Path, account: dict[str, str]) -> None:
    written(tmp_path / "a.playbook.json", {**SMALL, "code": "never-sent"})
    written(tmp_path / "b.playbook.json", {**SMALL, "steps": []})
    done = playbooks(tmp_path, "push", tmp_path, **account)
    assert done.returncode == 1
    assert "NO_STEPS" in done.stderr
    assert playbooks(tmp_path, "pull", "never-sent", **account).returncode == 1

"""Which stack a person's command talks to when none is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.dev.folder import StackFolder, remember_last_stack
from cli.settings import client_settings

_SECRETS = {"PLAYBOOK_JWT_SECRET": "x" * 40, "PLAYBOOK_DATABASE_URL": "postgresql://s:s@127.0.0.1/p"}


def _stack(root: Path, port: int) -> StackFolder:
    folder = StackFolder.at(root)
    folder.make()
    folder.write_environment(_SECRETS | {"PLAYBOOK_ADMIN_DATABASE_URL": f"postgresql://a:a@127.0.0.1:{port}/p"})
    return folder


@pytest.fixture
def stacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[StackFolder, StackFolder]:
    """One in the working directory, and one elsewhere that was started later."""
    for name in ("PLAYBOOK_DATA_DIR", "PLAYBOOK_ADMIN_DATABASE_URL", "PLAYBOOK_JWT_SECRET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    here, elsewhere = _stack(tmp_path / ".data", 1111), _stack(tmp_path / "elsewhere", 2222)
    remember_last_stack(elsewhere)
    return here, elsewhere


def _port() -> str:
    url = client_settings(None).needed("admin_database_url")
    return url.rsplit(":", 1)[1].split("/")[0]


def test_stack_of_the_directory_is_asked_when_it_runs(stacks: tuple[StackFolder, StackFolder]) -> None:
    here, elsewhere = stacks
    with here.locked(), elsewhere.locked():
        assert _port() == "1111"


def test_running_stack_is_asked_when_that_of_the_directory_is_stopped(stacks: tuple[StackFolder, StackFolder]) -> None:
    _, elsewhere = stacks
    with elsewhere.locked():
        assert _port() == "2222"


@pytest.mark.usefixtures("stacks")
def test_stack_of_the_directory_is_asked_when_none_runs() -> None:
    assert _port() == "1111"

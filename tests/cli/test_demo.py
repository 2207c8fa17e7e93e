"""`playbook demo`: the grants example to its end, for people and for scripts."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from cli.demo.play import DemoFailedError, Play
from cli.rest import Api, ApiProblemError
from tests.support import servers, stacks


@pytest.fixture(scope="module")
def home() -> Generator[Path]:
    with servers.scratch_folder() as folder:
        yield folder


def test_completes_the_grants_run_when_there_is_no_terminal(home: Path) -> None:
    demo = stacks.run("demo", "--data-dir", home / "data", *stacks.ANY_PORTS, home=home)
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert json.loads(demo.stderr.splitlines()[-3])["status"] == "completed", demo.stderr
    assert "created the playbook 'Grants Intake & Review' with 5 steps" in demo.stdout
    assert '"award_status": "awarded"' in demo.stdout
    assert "PLAYBOOK_RUN" in demo.stdout
    assert "53.0000" in demo.stdout
    assert demo.stdout.count("approves 'Committee Review'") == 3


def test_reuses_the_version_and_stays_until_interrupted_when_played_again_at_a_terminal(home: Path) -> None:
    ours, theirs = pty.openpty()
    command = stacks.command("demo", "--data-dir", home / "data", *stacks.ANY_PORTS)
    popen = subprocess.Popen(
        command,
        env=stacks.environment(home, COLUMNS="200"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        text = _read_until(ours, "The stack keeps running", popen)
        assert "using the published version 1" in text
        description = json.loads((home / "data" / "dev.json").read_text())
        assert httpx2.get(f"{description['api_url']}/livez").status_code == 200
        popen.send_signal(signal.SIGINT)
        _drain(ours)
        assert popen.wait(60) == 0
    finally:
        popen.kill()
        popen.wait()
        os.close(ours)


def _read_until(terminal: int, words: str, popen: subprocess.Popen[bytes], seconds: float = 120) -> str:
    text, deadline = "", time.monotonic() + seconds
    while words not in text:
        assert time.monotonic() < deadline, text
        try:
            text += os.read(terminal, 4096).decode(errors="replace")
        except OSError:  # the other side is closed
            pytest.fail(f"ended with {popen.wait()}: {text}")
    return text


def _drain(terminal: int) -> None:
    try:
        while os.read(terminal, 4096):
            pass
    except OSError:
        return


class _FakeService:
    """Just enough of the API for the plot: one published version, and a run that ends as `end` demands."""

    def __init__(self, end: str) -> None:
        self.end = end

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        path = request.url.path.removeprefix("/api/v1")
        data: Any = []
        if path == "/playbooks":
            data = [{"id": "p", "code": "grants-intake", "status": "active", "version": 3}]
        elif path.endswith("/execute"):
            data = {"execution_id": "r"}
        elif path.startswith("/playbooks/runs/"):
            data = {"execution_id": "r", "status": self.end, "steps": None, "error_details": {"kind": "business_rule"}}
        if self.end == "refused":
            problem = {"code": "FORBIDDEN", "detail": "no", "errors": [{"pointer": "/a", "message": "wrong"}]}
            return httpx2.Response(403, json=problem)
        return httpx2.Response(200, json={"success": True, "data": data})

    def play(self) -> list[str]:
        lines: list[str] = []
        transport = httpx2.MockTransport(self.answer)
        Play(lambda _person: Api("http://api.example", "token", transport=transport), lines.append).perform()
        return lines


def test_tells_the_version_when_one_is_published_already() -> None:
    assert _FakeService("completed").play()[0] == "using the published version 3"


@pytest.mark.parametrize("end", ["failed", "cancelled"])
def test_fails_when_the_run_does_not_complete(end: str) -> None:
    with pytest.raises(DemoFailedError, match="business_rule"):
        _FakeService(end).play()


def test_names_the_request_when_the_api_refuses() -> None:
    with pytest.raises(ApiProblemError, match="403 FORBIDDEN: no /a: wrong") as caught:
        _FakeService("refused").play()
    assert caught.value.code == "FORBIDDEN"

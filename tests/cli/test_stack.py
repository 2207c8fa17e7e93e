"""`playbook dev`: it starts everything, keeps it running, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Generator
from pathlib import Path

import httpx2
import psutil
import pytest

from tests.support import servers, stacks
from tests.support.waiting import wait_until


@pytest.fixture
def home() -> Generator[Path]:
    with servers.scratch_folder() as folder:
        yield folder


def test_goes_on_where_it_stopped_when_started_again(home: Path) -> None:
    data = home / "data"
    with stacks.dev_process(data, home=home) as first:
        before = first.description()
        assert {"api_url", "temporal_address", "temporal_ui_url", "database_url", "admin_database_url"} <= set(before)
        assert set(before["pids"]) == {"dev", "postgres", "temporal", "api", "worker"}
        assert httpx2.get(f"{before['api_url']}/livez").status_code == 200
        assert httpx2.get(before["temporal_ui_url"]).status_code == 200
        for name in ("dev.json", "dev.env", "state.json", "logs", "postgres", "temporal.db"):
            assert (data / name).stat().st_mode & 0o077 == 0, name
        made = stacks.run("org", "create", "--code", "acme", "--name", "Acme", "--data-dir", data, home=home)
        assert made.returncode == 0, made.stderr
        family = first.family()
        assert first.stop() == 0
        assert stacks.wait_until_gone(family) == []
        assert not (data / "dev.json").exists()
    with stacks.dev_process(data, home=home, ports=()) as second:
        after = second.description()
        assert after["database_url"] == before["database_url"]
        token = stacks.run("token", "--org", "acme", "--user", "anna", "--roles", "a,b", home=home)
        assert token.returncode == 0, token.stderr
        assert len(token.stdout.split()) == 1
        answer = httpx2.get(
            f"{after['api_url']}/api/v1/playbooks", headers={"Authorization": f"Bearer {token.stdout.strip()}"}
        )
        assert answer.status_code == 200
        refused = stacks.run("dev", "--data-dir", data, home=home)
        assert refused.returncode == 1
        assert "already running" in refused.stderr
        assert second.stop(signal.SIGINT) == 0
    with stacks.dev_process(data, "--fresh", home=home) as third:
        third.description()
        gone = stacks.run("token", "--org", "acme", "--user", "anna", "--data-dir", data, home=home)
        assert gone.returncode == 1
        assert "acme" in gone.stderr


@pytest.mark.soak
def test_starts_a_process_again_when_it_was_killed(home: Path) -> None:
    with stacks.dev_process(home / "data", home=home) as stack:
        pids = stack.description()["pids"]
        for name in ("worker", "temporal", "postgres", "api"):
            os.kill(pids[name], signal.SIGKILL)

        def are_new() -> bool:
            now = stack.description()["pids"]
            return all(now[name] != pids[name] for name in pids if name != "dev")

        wait_until(are_new, 40, "new processes")
        api_url = stack.description()["api_url"]

        def is_ready() -> bool:
            try:
                return httpx2.get(f"{api_url}/readyz").status_code == 200
            except httpx2.HTTPError:
                return False

        wait_until(is_ready, 40, "the API to be ready")


@pytest.mark.soak
def test_leaves_nothing_behind_when_it_is_killed(home: Path) -> None:
    with stacks.dev_process(home / "data", home=home) as stack:
        stack.description()
        family = stack.family()
        assert len(family) >= 4
        stack.popen.kill()
        stack.popen.communicate()
        assert stacks.wait_until_gone(family, 30) == []
    with stacks.dev_process(home / "data", home=home) as again:
        (home / "data" / "dev.json").unlink(missing_ok=True)
        again.description()


def test_leaves_nothing_behind_when_the_start_fails(home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        refused = stacks.run("dev", "--data-dir", home / "data", "--port", port, home=home)
    assert refused.returncode == 1
    assert f"port {port} (--port) is already in use" in refused.stderr
    (home / "data" / "temporal.db").mkdir(parents=True)  # Temporal cannot open this; PostgreSQL runs already
    failed = stacks.run("dev", "--data-dir", home / "data", *stacks.ANY_PORTS, home=home)
    assert failed.returncode == 1
    assert "Temporal did not start" in failed.stderr
    assert "Traceback" not in failed.stderr
    left = [
        process for process in psutil.process_iter(["cmdline"]) if str(home) in " ".join(process.info["cmdline"] or [])
    ]
    assert left == []


def test_stops_at_once_when_interrupted_during_the_start(home: Path) -> None:
    with stacks.dev_process(home / "data", home=home) as stack:
        family = wait_until(stack.family, 20, "its first process")
        assert stack.stop() == 0
        assert stacks.wait_until_gone(family) == []

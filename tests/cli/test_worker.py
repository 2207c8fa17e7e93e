"""The worker process: it waits for Temporal, writes its ready file when it takes work, and ends in order."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from cli.servers.ports import any_free_port
from tests.support import servers, stacks
from tests.support.waiting import wait_until


@contextmanager
def _worker(home: Path, database_url: str, temporal_address: str) -> Generator[tuple[subprocess.Popen[bytes], Path]]:
    ready = home / "ready"
    settings = {
        "PLAYBOOK_DATABASE_URL": database_url,
        "PLAYBOOK_TEMPORAL_ADDRESS": temporal_address,
        "PLAYBOOK_ENCRYPTION_KEYS": servers.ENCRYPTION_KEYS,
    }
    with (home / "log").open("wb") as log:
        popen = subprocess.Popen(
            stacks.command("worker", "--ready-file", ready),
            env=stacks.environment(home, **settings),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield popen, ready
    finally:
        popen.kill()
        popen.wait()


def _wait_for(condition: Callable[[], bool], worker: subprocess.Popen[bytes]) -> None:
    def holds() -> bool:
        assert worker.poll() is None
        return condition()

    wait_until(holds, 60, "the worker")


def test_takes_work_and_ends_in_order_when_temporal_comes_late(database_url: str, tmp_path: Path) -> None:
    port = any_free_port()
    with _worker(tmp_path, database_url, f"127.0.0.1:{port}") as (worker, ready):
        _wait_for(lambda: "temporal_away" in (tmp_path / "log").read_text(), worker)
        assert not ready.exists()
        with servers.scratch_folder() as folder, servers.running_temporal(folder, port=port):
            _wait_for(ready.exists, worker)
            worker.terminate()
            worker.wait(timeout=30)
            output = (tmp_path / "log").read_text()
            assert worker.returncode == 0, output
            assert not ready.exists()
            assert "worker_ready" in output
            assert servers.ENCRYPTION_KEYS not in output


def test_ends_at_once_when_stopped_while_temporal_is_away(database_url: str, tmp_path: Path) -> None:
    with _worker(tmp_path, database_url, f"127.0.0.1:{any_free_port()}") as (worker, _):
        _wait_for(lambda: "temporal_away" in (tmp_path / "log").read_text(), worker)
        worker.terminate()
        worker.wait(timeout=10)
        assert worker.returncode == 0

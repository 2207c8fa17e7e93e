"""`playbook dev` and its relatives as a person starts them: separate processes, watched from outside."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import psutil

from cli.failures import explained
from cli.main import app
from tests.support.waiting import wait_until

ANY_PORTS = ("--port", "0", "--temporal-port", "0", "--ui-port", "0")


def command(*arguments: str | Path) -> list[str]:
    """The command line of `playbook ...` in this environment."""
    return [sys.executable, "-m", "cli.main", *map(str, arguments)]


def environment(home: Path, **settings: str) -> dict[str, str]:
    """This process's environment without its own PLAYBOOK_* settings, and with another home."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PLAYBOOK_")}
    return kept | {"HOME": str(home), "XDG_STATE_HOME": str(home / "state")} | settings


def run(*arguments: str | Path, home: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, without a terminal, and in a directory that knows no stack of its own."""
    return subprocess.run(
        command(*arguments),
        cwd=home,
        env=environment(home, **settings),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def run_here(*arguments: str | Path, home: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """`run` without a process of its own, which costs a second. For commands that start nothing."""
    printed, complained, tokens = io.StringIO(), io.StringIO(), [*map(str, arguments)]
    with (
        mock.patch.dict(os.environ, environment(home, **settings), clear=True),
        contextlib.chdir(home),
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(complained),
    ):
        code = explained(lambda: app(tokens, result_action="return_value", exit_on_error=False))
    return subprocess.CompletedProcess(arguments, code, printed.getvalue(), complained.getvalue())


@dataclass(slots=True)
class DevProcess:
    """A running `playbook dev`."""

    popen: subprocess.Popen[str]
    data_dir: Path

    def description(self) -> dict[str, Any]:
        """The content of `dev.json`; waits until it is there. Fails when the process has ended."""
        path = self.data_dir / "dev.json"

        def is_there() -> bool:
            assert self.popen.poll() is None, self.popen.communicate()
            return path.exists()

        wait_until(is_there, 90, "the stack to start")
        return json.loads(path.read_text())

    def family(self) -> list[psutil.Process]:
        """Every process that it started, at any depth."""
        return psutil.Process(self.popen.pid).children(recursive=True)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end; answers its exit code."""
        self.popen.send_signal(number)
        self.popen.communicate(timeout=60)
        return self.popen.returncode


@contextmanager
def dev_process(data_dir: Path, *options: str, home: Path, ports: Sequence[str] = ANY_PORTS) -> Generator[DevProcess]:
    """Start `playbook dev`; whatever the test does, it is gone afterwards."""
    popen = subprocess.Popen(
        command("dev", "--data-dir", data_dir, *ports, *options),
        env=environment(home),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    process = DevProcess(popen, data_dir)
    try:
        yield process
    finally:
        if popen.poll() is None:
            process.stop()


def wait_until_gone(processes: Sequence[psutil.Process], seconds: float = 15) -> list[psutil.Process]:
    """Wait, and return those that are still alive."""
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    return alive

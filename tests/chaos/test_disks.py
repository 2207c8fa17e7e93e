"""A disk is full under live runs, and has room again: PostgreSQL's own, Temporal's own.

Each server's data lies on a small memory file system of its own, which needs root (mount). A filler takes what is free,
again and again, so that nothing can be written there. A server may refuse to write or die of it; one that died is
started again once there is room, as a supervisor would.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import pytest

from cli.servers.processes import ChildProcess
from cli.servers.temporal import start_temporal
from tests.chaos.scene import Place, play, running_place
from tests.support.stack import Stack

pytestmark = pytest.mark.soak
Server: TypeAlias = Literal["postgres", "temporal"]
SERVERS: tuple[Server, ...] = ("postgres", "temporal")
MEGABYTES = {"postgres": 320, "temporal": 160}
FULL = 15.0
COMPLAINTS = {"postgres": ("No space left on device",), "temporal": ("disk is full", "disk I/O error")}


@dataclass
class SmallDisksStack(Stack):
    """PostgreSQL and Temporal have a small disk each."""

    def disk(self, server: Server) -> Path:
        return self.folder / server

    def mount(self) -> None:
        for server in SERVERS:
            self.disk(server).mkdir()
            size = f"size={MEGABYTES[server]}m"
            subprocess.run(["mount", "-t", "tmpfs", "-o", size, "chaos", str(self.disk(server))], check=True)

    def start_temporal(self) -> None:
        file = self.disk("temporal") / "temporal.db"
        self.temporal = start_temporal(file, port=self.temporal_port, log=self.folder / "temporal.log")

    def stop(self) -> None:
        super().stop()
        for server in SERVERS:
            if self.disk(server).is_mount():
                subprocess.run(["umount", str(self.disk(server))], check=True)

    def process(self, server: Server) -> ChildProcess:
        running = {"postgres": self.postgres, "temporal": self.temporal}[server]
        assert running is not None
        return running.process

    def complaints_of(self, server: Server) -> int:
        log = (self.folder / f"{server}.log").read_text(errors="replace") + self._words_of_ours(server)
        return sum(log.count(complaint) for complaint in COMPLAINTS[server])

    def _words_of_ours(self, server: Server) -> str:
        """Temporal reports it to its clients, too."""
        logs = [self.folder / "worker.log", self.folder / "api.log"] if server == "temporal" else []
        return "".join(log.read_text(errors="replace") for log in logs if log.exists())


@pytest.fixture(scope="module")
def place() -> Generator[Place]:
    def make(folder: Path) -> Stack:
        stack = SmallDisksStack(folder)
        stack.mount()
        return stack

    with running_place(make) as running:
        yield running


@pytest.mark.parametrize("server", SERVERS)
async def test_every_run_goes_on_when_a_disk_was_full(place: Place, server: Server) -> None:
    stack = place.stack
    assert isinstance(stack, SmallDisksStack)
    before = stack.complaints_of(server)

    async def full() -> None:
        filler = stack.disk(server) / "filler"
        try:
            ends = time.monotonic() + FULL
            while time.monotonic() < ends:
                _fill(filler)
                await asyncio.sleep(0.1)
        finally:
            filler.unlink()
        await asyncio.sleep(1.0)
        if not stack.process(server).is_running:
            print(f"{server} died of its full disk")
            start = {"postgres": stack.start_postgres, "temporal": stack.start_temporal}[server]
            await asyncio.to_thread(start)

    await play(place, f"disk of {server} full", full, runs=100, moves_within=60.0)
    complaints = stack.complaints_of(server) - before
    print(f"{server} reported {complaints} times that its disk is full")
    assert complaints > 0, "the disk must have been too small for something"


def _fill(filler: Path) -> None:
    """Take what is free."""
    block = bytes(1 << 16)
    file = os.open(filler, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        while block:
            try:
                os.write(file, block)
            except OSError:
                block = block[: len(block) // 2]
    finally:
        os.close(file)

"""Connections to the database are slow, cut, and cut after a COMMIT whose answer nobody gets."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from tests.chaos.proxy import Mode, Proxy
from tests.chaos.scene import Place, play, running_place, seed
from tests.support.stack import Stack

pytestmark = pytest.mark.soak
SHARES: dict[Mode, float] = {"delay": 0.1, "cut": 0.01, "cut_after_commit": 0.2}


@dataclass
class ProxiedStack(Stack):
    """API and worker reach PostgreSQL through the proxy only; migrations and the judge go straight."""

    proxy: Proxy | None = None

    @property
    def environment(self) -> dict[str, str]:
        usual = super().environment
        if self.proxy is None:
            self.proxy = Proxy(self.postgres_port, Random(seed()))
            self.proxy.start()
        url = usual["PLAYBOOK_DATABASE_URL"].replace(f":{self.postgres_port}/", f":{self.proxy.port}/")
        return {**usual, "PLAYBOOK_DATABASE_URL": url}

    def stop(self) -> None:
        super().stop()
        if self.proxy is not None:
            self.proxy.stop()


@pytest.fixture(scope="module")
def place() -> Generator[Place]:
    def make(folder: Path) -> Stack:
        return ProxiedStack(folder)

    with running_place(make) as running:
        yield running


@pytest.mark.parametrize("mode", SHARES)
async def test_every_run_goes_on_when_connections_are_spoiled(place: Place, mode: Mode) -> None:
    assert isinstance(place.stack, ProxiedStack)
    proxy = place.stack.proxy
    assert proxy is not None
    before = proxy.spoiled

    async def spoil() -> None:
        proxy.mode, proxy.share = mode, SHARES[mode]
        await asyncio.sleep(15)
        proxy.mode = "pass"

    await play(place, f"connections: {mode}", spoil, runs=100)
    assert proxy.spoiled - before >= 5, "the proxy must have done something"

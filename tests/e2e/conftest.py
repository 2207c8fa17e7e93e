"""One stack for the journeys that break nothing; those that break something start their own."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.support.servers import scratch_folder
from tests.support.stack import Stack, running_stack


@pytest.fixture(scope="session")
def stack() -> Generator[Stack]:
    with scratch_folder() as folder, running_stack(folder) as running:
        yield running


@pytest.fixture
def own_stack() -> Generator[Stack]:
    with scratch_folder() as folder, running_stack(folder) as running:
        yield running

"""Journeys that break nothing share one stack; a file whose tests break something, and mend it, has its own."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.support.servers import scratch_folder
from tests.support.stack import Stack, running_stack


@pytest.fixture(scope="module")
def own_stack() -> Generator[Stack]:
    with scratch_folder() as folder, running_stack(folder) as running:
        yield running

"""Servers of the workflow's tests.

stage      a Stage on the dev server, with a fresh world (each test)
skipping   a Stage on the time-skipping server, with a fresh world (each test)
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import suppress
from pathlib import Path

import pytest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from cli.servers.temporal import TemporalServer
from tests.workflows.playing import Stage


@pytest.fixture(scope="session")
async def plain_client(temporal: TemporalServer) -> Client:
    return await Client.connect(temporal.address, data_converter=pydantic_data_converter)


@pytest.fixture
def stage(plain_client: Client) -> Stage:
    return Stage(client=plain_client)


@pytest.fixture(scope="session")
async def time_skipping() -> AsyncGenerator[WorkflowEnvironment]:
    program = str(Path(sys.executable).with_name("temporal-test-server"))
    environment = await WorkflowEnvironment.start_time_skipping(
        test_server_existing_path=program, data_converter=pydantic_data_converter
    )
    yield environment
    # The core does not always answer that its server is gone; bounded, so that this cannot hang the run.
    with suppress(TimeoutError):
        await asyncio.wait_for(environment.shutdown(), 20)


@pytest.fixture
def skipping(time_skipping: WorkflowEnvironment) -> Stage:
    return Stage(client=time_skipping.client)

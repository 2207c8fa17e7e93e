from __future__ import annotations

import pytest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest

from cli.servers.ports import any_free_port
from playbooks.common.errors import ServiceUnavailableError
from runtime.settings import Settings
from runtime.temporal_client import RPC_TIMEOUT, connect, is_away, register_search_attributes
from tests.support import servers


async def test_registers_search_attributes_when_asked_twice(settings: Settings) -> None:
    client = await connect(settings)
    assert await register_search_attributes(client)
    assert await register_search_attributes(client)


async def test_answers_when_temporal_comes_after_the_client() -> None:
    port = any_free_port()
    settings = Settings.model_validate(
        {"temporal_address": f"127.0.0.1:{port}", "encryption_keys": servers.ENCRYPTION_KEYS}
    )
    client = await connect(settings)
    request = DescribeNamespaceRequest(namespace="default")
    with pytest.raises(Exception) as caught:
        await client.workflow_service.describe_namespace(request, timeout=RPC_TIMEOUT)
    assert is_away(caught.value)
    assert not await register_search_attributes(client)
    with pytest.raises(ServiceUnavailableError):
        await connect(settings, is_lazy=False)
    with servers.scratch_folder() as folder, servers.running_temporal(folder, port=port):
        answer = await client.workflow_service.describe_namespace(request, retry=True, timeout=RPC_TIMEOUT)
        assert answer.namespace_info.name == "default"

"""The connection of every process to Temporal.

A client for requests is lazy and gives up early, so that an API starts and answers while Temporal is away; a worker's
client waits for Temporal.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from ipaddress import ip_address
from typing import Final

import structlog
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.client import Client, HeaderCodecBehavior
from temporalio.service import GrpcCompression, KeepAliveConfig, RetryConfig, RPCError, RPCStatusCode

from playbooks.common.errors import ServiceUnavailableError
from runtime.converter import data_converter
from runtime.settings import Settings
from runtime.temporal_names import SEARCH_ATTRIBUTES

RPC_TIMEOUT: Final = timedelta(seconds=5)
"""Timeout of one call in a request; pass it to every client call as `rpc_timeout`."""

_CONNECT_TIMEOUT: Final = timedelta(seconds=3)
_IMPATIENT: Final = RetryConfig(max_elapsed_time_millis=2_000, max_retries=4)
_PATIENT: Final = RetryConfig()
_KEEP_ALIVE: Final = KeepAliveConfig(interval_millis=10_000, timeout_millis=5_000)
_AWAY: Final = frozenset(
    {RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED, RPCStatusCode.UNKNOWN}
)


async def connect(settings: Settings, *, is_lazy: bool = True) -> Client:
    """Connect to the configured namespace.

    Lazy (requests): does not touch the network yet, and calls give up after about 2 s. Not lazy (workers):
    connected when it returns. Raises ServiceUnavailableError when Temporal is away.
    """
    try:
        return await Client.connect(
            settings.temporal_address,
            namespace=settings.temporal_namespace,
            data_converter=data_converter(settings.key_ring),
            header_codec_behavior=HeaderCodecBehavior.CODEC,
            lazy=is_lazy,
            retry_config=_IMPATIENT if is_lazy else _PATIENT,
            connect_timeout=_CONNECT_TIMEOUT,
            keep_alive_config=_KEEP_ALIVE,
            grpc_compression=_compression(settings.temporal_address),
        )
    except RuntimeError as error:  # what the SDK raises when it cannot connect
        raise ServiceUnavailableError("Temporal is away") from error


async def connect_when_ready(settings: Settings) -> Client:
    """Connect a worker; waits as long as Temporal is away."""
    log = structlog.stdlib.get_logger(__name__)
    delay_seconds = 0.2
    while True:
        try:
            return await connect(settings, is_lazy=False)
        except ServiceUnavailableError:
            log.warning("temporal_away", address=settings.temporal_address, next_try_seconds=delay_seconds)
            await asyncio.sleep(delay_seconds)
            delay_seconds = min(delay_seconds * 2, 5.0)


def is_away(error: Exception) -> bool:
    """Return whether a failed call means that Temporal cannot be reached, so that the same call may succeed later.

    The SDK raises RuntimeError where a lazy client's first connection fails.
    """
    if isinstance(error, RPCError):
        return error.status in _AWAY
    return isinstance(error, RuntimeError | TimeoutError | ConnectionError)


async def register_search_attributes(client: Client) -> bool:
    """Register the search attributes of runs. True when they all exist afterwards.

    Without the right to register or to look, False: runs then start without search attributes. Never raises.
    """
    try:
        if await _has_all(client):
            return True
        request = AddSearchAttributesRequest(
            namespace=client.namespace,
            search_attributes=dict.fromkeys(SEARCH_ATTRIBUTES, IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD),
        )
        await client.operator_service.add_search_attributes(request, timeout=RPC_TIMEOUT)
    except (RPCError, RuntimeError) as error:
        structlog.stdlib.get_logger(__name__).warning("search_attributes_not_registered", reason=type(error).__name__)
        # Another process may have registered them at the same time.
        return await _has_all_quietly(client)
    return await _has_all_quietly(client)


async def _has_all_quietly(client: Client) -> bool:
    try:
        return await _has_all(client)
    except (RPCError, RuntimeError):
        return False


async def _has_all(client: Client) -> bool:
    request = ListSearchAttributesRequest(namespace=client.namespace)
    answer = await client.operator_service.list_search_attributes(request, timeout=RPC_TIMEOUT)
    return all(name in answer.custom_attributes for name in SEARCH_ATTRIBUTES)


def _compression(address: str) -> GrpcCompression:
    """Return no compression for loopback, where it costs more than it saves."""
    host = address.rsplit(":", 1)[0].strip("[]")
    try:
        is_loopback = ip_address(host).is_loopback
    except ValueError:
        is_loopback = host == "localhost"
    return GrpcCompression.NONE if is_loopback else GrpcCompression.GZIP

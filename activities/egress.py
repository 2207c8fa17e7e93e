"""Egress guard: steps connect only to public addresses and to networks that the operator allowed.

Invariant: a name is resolved once, and the connection goes to an address that was checked. So a name that changes its
address between the look-up and the connection (DNS rebinding) gains nothing, and each redirect is checked like a first
request.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TypeAlias

import httpx2

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network
Resolver: TypeAlias = Callable[[str, int], Awaitable[Sequence[Address]]]

RESOLVE_TIMEOUT_SECONDS = 5.0
_MAX_ADDRESSES_TRIED = 3

# Public addresses that answer with secrets of the machine that asks (Azure's wire server).
_METADATA_ADDRESSES = frozenset({ip_address("168.63.129.16")})
_NAT64 = IPv6Network("64:ff9b::/96")


class EgressRefusedError(httpx2.RequestError):
    """No address of the destination may be reached. The text names the host only."""


class PinnedTransport(httpx2.AsyncBaseTransport):
    """Resolves, checks and pins each request; never uses a proxy of the environment.

    TLS still verifies the name that was asked for. Connections are not kept: they would be pooled by address, and
    a second name on the same address would then skip its own certificate check.
    """

    def __init__(
        self, allowed: Sequence[Network], *, tls: ssl.SSLContext | None = None, resolver: Resolver | None = None
    ) -> None:
        self._allowed = tuple(allowed)
        self._resolve = resolver or resolve_host
        self._inner = httpx2.AsyncHTTPTransport(
            verify=tls if tls is not None else True,
            trust_env=False,
            limits=httpx2.Limits(max_connections=4, max_keepalive_connections=0),
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send to the first allowed address that accepts a connection. Raises EgressRefusedError, ConnectError."""
        url = request.url
        if url.scheme not in ("http", "https"):
            raise EgressRefusedError(f"only http and https may be called, not '{url.scheme}'", request=request)
        addresses = await self._allowed_addresses(request)
        for address in addresses[:-1]:
            try:
                return await self._inner.handle_async_request(_pinned(request, address))
            except (httpx2.ConnectError, httpx2.ConnectTimeout):
                continue
        return await self._inner.handle_async_request(_pinned(request, addresses[-1]))

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def _allowed_addresses(self, request: httpx2.Request) -> list[Address]:
        host = request.url.raw_host.decode("ascii")
        port = request.url.port or (443 if request.url.scheme == "https" else 80)
        try:
            addresses = await self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise httpx2.ConnectError(f"the name '{host}' cannot be resolved", request=request) from error
        allowed = [address for address in addresses if is_reachable(address, self._allowed)]
        if not allowed:
            raise EgressRefusedError(f"'{host}' leads to an address that may not be called", request=request)
        return allowed[:_MAX_ADDRESSES_TRIED]


def is_reachable(address: Address, allowed: Sequence[Network]) -> bool:
    """Return whether a step may connect to `address`: a public one, or one inside a network the operator allowed.

    For an IPv6 address that embeds an IPv4 one both are checked.
    """
    if any(address in network for network in allowed):
        return True
    if address in _METADATA_ADDRESSES or address.is_multicast or not address.is_global:
        # A mapped address is not global by itself; the IPv4 address decides.
        mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        return mapped is not None and is_reachable(mapped, allowed)
    return all(is_reachable(inner, allowed) for inner in _embedded(address))


async def resolve_host(host: str, port: int) -> Sequence[Address]:
    """Resolve `host` to its addresses, in the system's order, each once. Raises OSError (also after a timeout)."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(RESOLVE_TIMEOUT_SECONDS):
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(ip_address(str(entry[4][0]).partition("%")[0]) for entry in found))


def _embedded(address: Address) -> list[IPv4Address]:
    if isinstance(address, IPv4Address):
        return []
    embedded = [address.sixtofour, *(address.teredo or ())]
    if address in _NAT64:
        embedded.append(IPv4Address(int(address) & 0xFFFFFFFF))
    return [inner for inner in embedded if inner is not None]


def _pinned(request: httpx2.Request, address: Address) -> httpx2.Request:
    """Return the same request to a fixed address; `Host` stays, and TLS verifies the name."""
    extensions = {**request.extensions, "sni_hostname": request.url.raw_host.decode("ascii")}
    return httpx2.Request(
        method=request.method,
        url=request.url.copy_with(host=str(address)),
        headers=request.headers,
        stream=request.stream,
        extensions=extensions,
    )

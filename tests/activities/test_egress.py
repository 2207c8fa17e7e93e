"""Addresses that steps may call, and connection to exactly the checked address."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address, ip_network

import httpx2
import pytest

from activities.egress import Address, EgressRefusedError, PinnedTransport, is_reachable
from tests.activities.http_server import Answer, http_server

LOOPBACK = (ip_network("127.0.0.0/8"),)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.100.100.200",
        "168.63.129.16",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fd00:ec2::254",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "2002:7f00:1::",
        "64:ff9b::7f00:1",
        "ff02::1",
    ],
)
def test_address_is_refused_when_it_is_not_public(address: str) -> None:
    assert not is_reachable(ip_address(address), ())


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:4700::1111", "::ffff:93.184.215.14", "64:ff9b::5db8:d70e"])
def test_address_is_taken_when_it_is_public(address: str) -> None:
    assert is_reachable(ip_address(address), ())


def test_address_is_taken_when_the_operator_allows_its_network() -> None:
    assert is_reachable(ip_address("10.1.2.3"), (ip_network("10.0.0.0/8"),))
    assert not is_reachable(ip_address("192.168.0.1"), (ip_network("10.0.0.0/8"),))
    assert is_reachable(ip_address("::ffff:10.1.2.3"), (ip_network("10.0.0.0/8"),))


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]"])
async def test_request_is_refused_when_the_name_leads_to_loopback(host: str) -> None:
    async with http_server() as server, httpx2.AsyncClient(transport=PinnedTransport(())) as client:
        with pytest.raises(EgressRefusedError):
            await client.get(server.url(host=host))
        assert server.asked == []


async def test_connection_goes_to_the_checked_address_when_the_name_changes_its_address() -> None:
    answers = [[ip_address("127.0.0.1")], [ip_address("169.254.169.254")]]

    async def resolve(host: str, port: int) -> Sequence[Address]:
        assert host == "service.example"
        return answers.pop(0)

    async with http_server() as server:
        server.answers["/"] = Answer()
        transport = PinnedTransport(LOOPBACK, resolver=resolve)
        async with httpx2.AsyncClient(transport=transport) as client:
            assert (await client.get(server.url(host="service.example"))).status_code == 200
            assert server.asked[0].headers["host"] == f"service.example:{server.port}"
            with pytest.raises(EgressRefusedError):
                await client.get(server.url(host="service.example"))
        assert len(server.asked) == 1


async def test_next_address_is_tried_when_the_first_does_not_answer() -> None:
    async def resolve(host: str, port: int) -> Sequence[Address]:
        return [ip_address("169.254.169.254"), ip_address("127.0.0.2"), ip_address("127.0.0.1")]

    async with http_server() as server:
        server.answers["/"] = Answer()
        async with httpx2.AsyncClient(transport=PinnedTransport(LOOPBACK, resolver=resolve)) as client:
            assert (await client.get(server.url(host="many.example"))).status_code == 200


async def test_connection_fails_when_the_name_is_unknown() -> None:
    async def resolve(host: str, port: int) -> Sequence[Address]:
        raise OSError("no such name")

    async with httpx2.AsyncClient(transport=PinnedTransport((), resolver=resolve)) as client:
        with pytest.raises(httpx2.ConnectError):
            await client.get("http://nowhere.example/")


async def test_scheme_is_refused_when_it_is_not_http() -> None:
    async with httpx2.AsyncClient(transport=PinnedTransport(LOOPBACK)) as client:
        with pytest.raises(httpx2.RequestError):
            await client.get("ftp://127.0.0.1/")

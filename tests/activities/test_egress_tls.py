"""A pinned address changes nothing about TLS: the certificate has to be for the name that was asked for."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from activities.egress import Address, PinnedTransport
from tests.activities.http_server import Answer, HttpServer


def certificate_for(name: str, folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate and its key, as files."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    public, private = folder / "certificate.pem", folder / "key.pem"
    public.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    return public, private


async def test_name_is_verified_when_the_address_is_pinned(tmp_path: Path) -> None:
    public, private = certificate_for("service.example", tmp_path)
    tls_of_server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls_of_server.load_cert_chain(public, private)
    names: list[str] = []
    tls_of_server.sni_callback = lambda _socket, name, _context: names.append(name)
    state = HttpServer(answers={"/": Answer()})
    server = await asyncio.start_server(state.serve, "127.0.0.1", 0, ssl=tls_of_server)
    port = server.sockets[0].getsockname()[1]

    async def resolve(host: str, asked_port: int) -> Sequence[Address]:
        return [ip_address("127.0.0.1")]

    trusting = ssl.create_default_context(cafile=str(public))
    transport = PinnedTransport((ip_network("127.0.0.0/8"),), tls=trusting, resolver=resolve)
    async with server, httpx2.AsyncClient(transport=transport) as client:
        assert (await client.get(f"https://service.example:{port}/")).status_code == 200
        with pytest.raises(httpx2.ConnectError):
            await client.get(f"https://other.example:{port}/")
    assert names == ["service.example", "other.example"]
    assert state.asked[0].headers["host"] == f"service.example:{port}"
    assert len(state.asked) == 1

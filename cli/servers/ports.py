"""Free loopback ports."""

from __future__ import annotations

import secrets
import socket

from cli.servers.processes import ServerStartError

LOOPBACK = "127.0.0.1"
_FIRST, _COUNT = 15_000, 15_000


def is_free(port: int) -> bool:
    """Return whether a server could listen on this loopback port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def any_free_port() -> int:
    """Return a loopback port on which nothing listens now.

    It is below the range from which the system takes ports for outgoing connections: one of that range may be in use
    when a stopped server starts again on its port.
    """
    while not is_free(port := _FIRST + secrets.randbelow(_COUNT)):
        pass
    return port


def choose_port(wanted: int | None, preferred: int, option: str) -> int:
    """Return the requested port, or the preferred one, or, when that is taken, any free one.

    Raises ServerStartError when the requested port is taken: with another one the person's clients would reach
    somebody else's server.
    """
    if wanted is not None:
        if wanted != 0 and not is_free(wanted):
            raise ServerStartError(f"port {wanted} ({option}) is already in use")
        return wanted or any_free_port()
    return preferred if is_free(preferred) else any_free_port()

"""Loopback ports: is one free, and which one to take."""

from __future__ import annotations

import socket

from cli.servers.processes import ServerStartError

LOOPBACK = "127.0.0.1"


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def any_free_port() -> int:
    """A loopback port that nothing listens on now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def choose_port(wanted: int | None, preferred: int, option: str) -> int:
    """The port a person asked for, or the preferred one, or, when that is taken, any free one.

    Raises ServerStartError when a port that was asked for explicitly is taken: silently using another one would
    send the person's clients to somebody else's server.
    """
    if wanted is not None:
        if wanted != 0 and not is_free(wanted):
            raise ServerStartError(f"port {wanted} ({option}) is already in use")
        return wanted or any_free_port()
    return preferred if is_free(preferred) else any_free_port()

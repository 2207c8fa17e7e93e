"""The API process."""

from __future__ import annotations

import uvicorn

from api.app import create_app
from runtime.logging import configure_logging
from runtime.settings import Settings

_GRACE_SECONDS = 5


def run_api(settings: Settings, *, host: str, port: int) -> int:
    """Serve until SIGTERM or Ctrl-C; open long polls get a few seconds to end."""
    configure_logging(settings.log_level)
    config = uvicorn.Config(
        create_app(settings),
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        loop="uvloop",
    )
    server = uvicorn.Server(config)
    server.run()
    return 0 if server.started else 1

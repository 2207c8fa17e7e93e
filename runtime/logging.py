"""Structured logs, one JSON object a line (or readable lines at a terminal).

Invariant: a value under a secret's name, and the password in a URL, never reach the output.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, TextIO, cast

import structlog
from pydantic import SecretStr

_SECRET_NAME = re.compile(
    r"passw|secret|token|authorization|cookie|api_?key|private_?key|encryption|ticket|signature|jwt|credential",
    re.IGNORECASE,
)
_URL_PASSWORD = re.compile(r"(?<=://)([^/\s:@]*):([^/\s@]+)@")
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}")
_HIDDEN = "***"
_QUIET_LOGGERS = {"uvicorn.access": logging.WARNING, "alembic": logging.WARNING, "httpx2": logging.WARNING}


def configure_logging(level: str = "INFO", *, stream: TextIO | None = None) -> None:
    """Send our logs and those of libraries to `stream` (stderr by default). Repeating it replaces the first."""
    output = stream or sys.stderr
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.ExtraAdder(),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    renderer = structlog.dev.ConsoleRenderer() if output.isatty() else structlog.processors.JSONRenderer()
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            hide_secrets,
            renderer,
        ],
    )
    handler = logging.StreamHandler(output)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    for name, quiet_level in _QUIET_LOGGERS.items():
        logging.getLogger(name).setLevel(quiet_level)


def hide_secrets(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Remove secrets from an event, at any depth (a structlog processor)."""
    return cast("dict[str, Any]", _hidden(event, depth=0))


def _hidden(value: object, depth: int) -> object:
    if depth > 12:
        return _HIDDEN
    if isinstance(value, Mapping):
        entries = cast("Mapping[object, object]", value)
        return {name: _HIDDEN if _is_secret(name, item) else _hidden(item, depth + 1) for name, item in entries.items()}
    if isinstance(value, list | tuple):
        return [_hidden(item, depth + 1) for item in cast("list[object]", value)]
    if isinstance(value, str):
        return _BEARER.sub(rf"\1 {_HIDDEN}", _URL_PASSWORD.sub(rf"\1:{_HIDDEN}@", value))
    return _HIDDEN if isinstance(value, SecretStr) else value


def _is_secret(name: object, item: object) -> bool:
    return isinstance(name, str) and item is not None and _SECRET_NAME.search(name) is not None

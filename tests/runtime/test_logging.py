from __future__ import annotations

import io
import json
import logging
from collections.abc import Generator

import pytest
import structlog

from runtime.keys import KeyRing, generate_key
from runtime.logging import configure_logging


@pytest.fixture
def output() -> Generator[io.StringIO]:
    root = logging.getLogger()
    before = (list(root.handlers), root.level)
    stream = io.StringIO()
    configure_logging("INFO", stream=stream)
    yield stream
    root.handlers[:], level = before
    root.setLevel(level)
    structlog.reset_defaults()


def test_writes_one_json_object_a_line_when_not_at_a_terminal(output: io.StringIO) -> None:
    structlog.stdlib.get_logger("ours").info("started", port=8000)
    logging.getLogger("theirs").warning("odd %s", "thing")
    lines = [json.loads(line) for line in output.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["started", "odd thing"]
    assert lines[0]["port"] == 8000
    assert lines[1]["level"] == "warning"


def test_hides_secrets_when_logged_under_any_name(output: io.StringIO) -> None:
    log = structlog.stdlib.get_logger("ours")
    ring = KeyRing.parse(generate_key("k1"))
    log.info(
        "connect postgresql://svc:hush@db/x with Bearer hushhushhush",
        url="amqp://u:hush@h",
        nested={"Authorization": "hush", "list": [{"api_key": "hush"}]},
        jwt_secret="hush",
        ring=ring,
    )
    logging.getLogger("theirs").error("failed", extra={"password": "hush"})
    try:
        raise ValueError("postgresql://svc:hush@db/x")
    except ValueError:
        log.exception("broke")
    assert "hush" not in output.getvalue()
    assert "svc:***@db" in output.getvalue()
    assert "ValueError" in output.getvalue()


def test_logs_nothing_below_the_level(output: io.StringIO) -> None:
    structlog.stdlib.get_logger("ours").debug("detail")
    assert output.getvalue() == ""

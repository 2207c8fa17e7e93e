"""Handler calls for tests, with defaults for everything that a test does not set."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from activities.handler import HandlerCall

ORGANIZATION = UUID("22222222-2222-4222-8222-222222222222")
EXECUTION = UUID("33333333-3333-4333-8333-333333333333")
PLAYBOOK = UUID("11111111-1111-4111-8111-111111111111")


def handler_call(config: dict[str, Any], value: Any = None, **fields: Any) -> HandlerCall:
    """A first attempt with this config and input."""
    defaults: dict[str, Any] = {
        "organization_id": ORGANIZATION,
        "execution_id": EXECUTION,
        "playbook_id": PLAYBOOK,
        "step": "call",
        "attempt": 1,
        "effect_key": f"{EXECUTION}:call:1",
        "timeout_seconds": 5.0,
    }
    return HandlerCall(config=config, input={} if value is None else value, **{**defaults, **fields})

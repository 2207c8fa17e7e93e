"""What steps come to that wait for a time or for a message: outputs that no handler makes.

Owns these shapes, so that what is checked beforehand is what becomes of a run.
"""

from __future__ import annotations

from datetime import datetime

from playbooks.common.values import Json, JsonObject


def timer_output(at: datetime) -> JsonObject:
    """Of a `timer` whose time has come."""
    return {"fired_at": at.isoformat()}


def signal_output(name: str, payload: Json, at: datetime) -> JsonObject:
    """Of a `signal_wait` that a message ended."""
    return {"signal": name, "payload": payload, "received_at": at.isoformat(), "timed_out": False}


def no_signal_output() -> JsonObject:
    """Of a `signal_wait` for which no message came in time, and which goes on without one."""
    return {"signal": None, "payload": None, "received_at": None, "timed_out": True}

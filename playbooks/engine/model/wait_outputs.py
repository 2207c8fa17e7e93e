"""Outputs of steps that wait for a time or for a message: no handler makes them, and checks know them beforehand."""

from __future__ import annotations

from datetime import datetime

from playbooks.common.values import Json, JsonObject


def timer_output(at: datetime) -> JsonObject:
    """Output of a `timer` that fired."""
    return {"fired_at": at.isoformat()}


def signal_output(name: str, payload: Json, at: datetime) -> JsonObject:
    """Output of a `signal_wait` that received a message."""
    return {"signal": name, "payload": payload, "received_at": at.isoformat(), "timed_out": False}


def no_signal_output() -> JsonObject:
    """Output of a `signal_wait` that timed out and continues."""
    return {"signal": None, "payload": None, "received_at": None, "timed_out": True}

"""Control messages for tests, built from a verb and its fields."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from playbooks.common.values import JsonObject
from playbooks.engine.model.control_messages import ControlMessage

_MESSAGES = TypeAdapter(ControlMessage)


def message_of(verb: str, actor: JsonObject | None = None, **fields: Any) -> ControlMessage:
    """Return the message of a verb. Raises pydantic's ValidationError for fields of the wrong type."""
    return _MESSAGES.validate_python({"action": {"verb": verb, **fields}, "actor": actor})

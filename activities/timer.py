"""The `timer` step: from its config to the instant until which it waits. The waiting is the workflow's."""

from __future__ import annotations

from datetime import UTC, datetime

from activities.handler import HandlerCall
from playbooks.evaluation import timing


def wait_until(call: HandlerCall) -> datetime:
    """The aware UTC instant that the config names, from now. Raises StepFailedError, MappingError."""
    return timing.wait_until(call, datetime.now(UTC))

"""A careless deploy: as soon as a worker loads this package, its workflow code wants a timer that no history has.

It comes as a package of workers only because a worker loads those; its handler does nothing.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from activities.handler import HandlerCall, HandlerResult
from playbooks.document.handler_catalog import HandlerDescription
from workflows.shell import Shell


@dataclass(frozen=True)
class Nothing:
    """Does nothing."""

    description: HandlerDescription

    async def run(self, call: HandlerCall) -> HandlerResult:
        return HandlerResult(output={})


NOTHING = Nothing(
    HandlerDescription(
        name="changed_code",
        step_type="system",
        is_pure=False,
        config_schema={"type": "object", "additionalProperties": False},
        summary="Does nothing.",
    )
)

_restore_timers = Shell.restore_timers


def _restore_timers_and_one_more(shell: Shell) -> None:
    # In a workflow this is the command "start a timer", before all others.
    asyncio.get_running_loop().call_later(3600, lambda: None)
    _restore_timers(shell)


Shell.restore_timers = _restore_timers_and_one_more  # pyright: ignore[reportAttributeAccessIssue]

"""The protocol between a step and whatever does its work: our own handlers and those of installed packages alike.

Owns who may be called; the call, its result and the one way to fail are the core's, because simulation uses them too.
Must not know Temporal or SQL.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from playbooks.document.handler_catalog import HandlerDescription
from playbooks.evaluation.work import HandlerCall, HandlerResult, StepFailedError, failed

__all__ = ["Handler", "HandlerCall", "HandlerResult", "StepFailedError", "failed"]


@runtime_checkable
class Handler(Protocol):
    """What an entry point of the group `playbook.workers` names, and what our own handlers are.

    `run` raises StepFailedError for a failure that it understands; anything else it raises counts as a defect of
    the handler (kind `system`), which is not retried. It is cancelled like any coroutine.
    """

    @property
    def description(self) -> HandlerDescription: ...

    async def run(self, call: HandlerCall) -> HandlerResult: ...

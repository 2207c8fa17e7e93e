"""The protocol of handlers, built-in ones and those of installed packages alike.

The call, its result and its failure are defined in the core, because simulation uses them too.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from playbooks.document.handler_catalog import HandlerDescription
from playbooks.evaluation.work import HandlerCall, HandlerResult, StepFailedError, failed

__all__ = ["Handler", "HandlerCall", "HandlerResult", "StepFailedError", "failed"]


@runtime_checkable
class Handler(Protocol):
    """Does the work of a step. An entry point of the group `playbook.workers` names one.

    `run` raises StepFailedError for a failure that it understands; anything else it raises counts as a defect of
    the handler (kind `system`), which is not retried. It is cancelled like any coroutine.
    """

    @property
    def description(self) -> HandlerDescription: ...

    async def run(self, call: HandlerCall) -> HandlerResult: ...

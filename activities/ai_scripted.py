"""The AI provider `scripted` as an activity runs it: answers written in the playbook, always labelled so."""

from __future__ import annotations

from activities.handler import HandlerCall, HandlerResult
from playbooks.document.handler_catalog import BUILT_IN
from playbooks.evaluation import scripted


class ScriptedHandler:
    """The n-th attempt gets the n-th entry of `config.script`; the last one answers all that follow."""

    description = BUILT_IN[scripted.PROVIDER]

    async def run(self, call: HandlerCall) -> HandlerResult:
        """An entry's output and confidence. Raises StepFailedError."""
        return scripted.answer(call)

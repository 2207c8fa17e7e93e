"""`PlaybookRun` as it is, but every execution goes on as a new one as soon as it may."""

from __future__ import annotations

from temporalio import workflow

from playbooks.engine.model.temporal_messages import RunInput, RunResult
from workflows.playbook_run import PlaybookRunWorkflow


@workflow.defn(name="PlaybookRun")
class ShortLivedRunWorkflow(PlaybookRunWorkflow):
    """Suggests continue-as-new after a few events, as the server does after thousands."""

    @workflow.init
    def __init__(self, start: RunInput) -> None:
        super().__init__(start)

    @workflow.run
    async def run(self, start: RunInput) -> RunResult:
        return await super().run(start)

    def _should_continue_as_new(self) -> bool:
        return workflow.info().get_current_history_length() > 20

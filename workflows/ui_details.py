"""Details of a run in Temporal's Web UI: current details, and search attributes where the namespace has them."""

from __future__ import annotations

from temporalio import workflow

from playbooks.common.values import FINISHED_RUN
from playbooks.engine.model.state import RunState
from playbooks.engine.model.temporal_messages import RunInput, RunProjection
from playbooks.engine.progress import progress_of
from playbooks.engine.projection import project_run
from workflows import calls


class UIDetails:
    """Details that were shown last. The start of a run has listed it as in progress."""

    def __init__(self, start: RunInput) -> None:
        self._plan = start.plan
        self._has_search_attributes = start.has_search_attributes
        self._listed_as: tuple[str, str | None] = ("in_progress", None)

    def show(self, state: RunState, run: RunProjection, *, rests: bool) -> None:
        """Show a run that has not ended. Lists are updated only where the run rests: an update costs as much as a step.

        The end is shown by `show_end`, with the task that closes the workflow, which the server writes together.
        """
        if state.status not in FINISHED_RUN:
            self._update(state, run, (run.status, run.current_step if rests else self._listed_as[1]))

    def show_end(self, state: RunState) -> None:
        """Show how the run ended."""
        run = project_run(self._plan, state)
        self._update(state, run, (run.status, run.current_step))

    def _update(self, state: RunState, run: RunProjection, listed: tuple[str, str | None]) -> None:
        workflow.set_current_details(progress_of(self._plan, state))
        if self._has_search_attributes and listed != self._listed_as:
            self._listed_as = listed
            calls.upsert_search_attributes(run)

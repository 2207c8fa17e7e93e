"""What the Web UI shows of a run: current details, and search attributes where the namespace knows them."""

from __future__ import annotations

from temporalio import workflow

from playbooks.common.values import FINISHED_RUN
from playbooks.engine.model.state import RunState
from playbooks.engine.model.temporal_messages import RunInput, RunProjection
from playbooks.engine.progress import progress_of
from playbooks.engine.projection import project_run
from workflows import calls

SHOWS_END_AT_CLOSE = 2
"""From this engine version on the lists hear of a run's end with the task that closes its workflow, which the server
writes together. Runs that an older version began tell it before their last flush."""


class Shown:
    """What was shown last. A run's start has told the lists that it is in progress."""

    def __init__(self, start: RunInput) -> None:
        self._plan = start.plan
        self._has_search_attributes = start.has_search_attributes
        self._shows_end_at_close = start.engine_version >= SHOWS_END_AT_CLOSE
        self._listed_as: tuple[str, str | None] = ("in_progress", None)

    def show(self, state: RunState, run: RunProjection, *, rests: bool) -> None:
        """Lists hear of the step at which the run rests only: a telling costs the server as much as a step."""
        if not (self._shows_end_at_close and state.status in FINISHED_RUN):
            self._tell(state, run, (run.status, run.current_step if rests else self._listed_as[1]))

    def show_end(self, state: RunState) -> None:
        """How the run ended, where that was not shown yet."""
        if self._shows_end_at_close:
            run = project_run(self._plan, state)
            self._tell(state, run, (run.status, run.current_step))

    def _tell(self, state: RunState, run: RunProjection, listed: tuple[str, str | None]) -> None:
        workflow.set_current_details(progress_of(self._plan, state))
        if self._has_search_attributes and listed != self._listed_as:
            self._listed_as = listed
            calls.upsert_search_attributes(run)

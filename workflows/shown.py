"""What the Web UI shows of a run: current details, and search attributes where the namespace knows them."""

from __future__ import annotations

from temporalio import workflow

from playbooks.messages import RunProjection
from playbooks.plan import Plan
from playbooks.progress import progress_of
from playbooks.state import RunState
from workflows import calls


class Shown:
    """What was shown last. A run's start has told the lists that it is in progress."""

    def __init__(self, plan: Plan, *, has_search_attributes: bool) -> None:
        self._plan = plan
        self._has_search_attributes = has_search_attributes
        self._listed_as: tuple[str, str | None] = ("in_progress", None)

    def show(self, state: RunState, run: RunProjection, *, rests: bool) -> None:
        """Lists hear of the step at which the run rests only: a telling costs the server as much as a step."""
        workflow.set_current_details(progress_of(self._plan, state))
        listed = (run.status, run.current_step if rests else self._listed_as[1])
        if self._has_search_attributes and listed != self._listed_as:
            self._listed_as = listed
            calls.upsert_search_attributes(run)

"""The immutable playbook version that a run is pinned to, as activities need it: document beside plan."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from activities.dependencies import ActivityDependencies
from playbooks.document import PlaybookDocument, StepDocument
from playbooks.plan import Plan, PlanStep


@dataclass(frozen=True, slots=True)
class Version:
    """A version's document and plan; steps are looked up by key in both."""

    document: PlaybookDocument
    plan: Plan

    def step(self, key: str) -> StepDocument:
        """The step as its author wrote it. KeyError where there is none."""
        number = self.plan.step(key).number
        for step in self.document.steps:
            if step.step_number == number:
                return step
        raise KeyError(key)

    def plan_step(self, key: str) -> PlanStep:
        """The compiled step. KeyError where there is none."""
        return self.plan.step(key)


async def load_version(deps: ActivityDependencies, organization_id: UUID, playbook_id: UUID) -> Version:
    """The version, from the process's cache or the tables. Raises ServiceUnavailableError, NotFoundError."""
    kept = deps.versions.cached(organization_id, playbook_id)
    if kept is None:
        async with deps.database.reading(organization_id) as session:
            kept = await deps.versions.get(session, playbook_id)
    return Version(kept.document, kept.plan)

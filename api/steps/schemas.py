"""Schemas of the steps of a version."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from pydantic import BaseModel, Field

from api.http.schemas import Metadata, ProblemView
from api.playbooks.schemas import PlaybookView, StepSummary, ValidationReport
from playbooks.common.values import JsonObject
from playbooks.compiler.stages import Flow


class ContractsView(BaseModel):
    """Contracts of a step; the output contract of a human step is its form."""

    input_contract: JsonObject | None
    output_contract: JsonObject | None


class DependencyView(BaseModel):
    """A step that this one waits for. `is_default`: by its position only, without an entry in `dependencies`."""

    key: str
    step_number: int
    dependency_type: Literal["sequential", "conditional", "data"]
    is_default: bool


class ReferrerView(BaseModel):
    """A place in the document that refers to this step; `step` is null for the playbook's `output`."""

    step: str | None
    pointer: str = Field(examples=["/steps/2/dependencies/0/depends_on_step_number"])
    way: Literal["number", "key", "expression"]


class RelationshipsView(BaseModel):
    """Relationships of a step to the others."""

    waits_for: list[DependencyView]
    followed_by: list[str]
    named_by: list[ReferrerView]


class StepProblems(BaseModel):
    """What publishing would report about this step; pointers are into the whole document."""

    errors: list[ProblemView]
    warnings: list[ProblemView]


class StepDefinitionView(StepSummary):
    """A step of a version. `contracts`, `relationships` and `validation` are present if asked for."""

    description: str | None = None
    estimated_duration_minutes: float | None = None
    required_roles: list[str] = Field(default_factory=list[str])
    parallel_group: str | None = None
    contracts: ContractsView | None = None
    relationships: RelationshipsView | None = None
    validation: StepProblems | None = None


class StepsMetadata(Metadata):
    """The version of the steps, and their flow."""

    playbook_id: UUID
    version: int
    flow: Flow
    validation: ValidationReport | None = None


class StepsAnswer(BaseModel):
    """The steps of a version, in order."""

    success: Literal[True] = True
    data: list[StepDefinitionView]
    metadata: StepsMetadata


class StepsChangedMetadata(Metadata):
    """Whether the version is a new one, and the flow of its steps."""

    is_new_version: bool
    flow: Flow


class StepsChanged(BaseModel):
    """The version after a change of its steps. `validation` is what publishing it would report."""

    success: Literal[True] = True
    data: PlaybookView
    metadata: StepsChangedMetadata

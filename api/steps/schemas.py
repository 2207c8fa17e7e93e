"""Steps of a version: what may be asked to change, and how they are shown."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from pydantic import BaseModel, Field, StrictBool, StrictInt

from api.http.schemas import Metadata, ProblemView, RequestModel
from api.playbooks.schemas import PlaybookView, StepSummary, ValidationReport
from playbooks.common.values import Json, JsonObject
from playbooks.compiler.stages import Flow
from playbooks.document.editing import InsertMode
from playbooks.document.model import MAX_STEPS


class AddStepsRequest(RequestModel):
    """Steps to add. `append` puts them last, `insert` behind step number `insert_after_step` (0: first), `replace` in
    place of all steps."""

    steps: list[Json] = Field(max_length=MAX_STEPS)
    insert_mode: InsertMode = "append"
    insert_after_step: StrictInt | None = None
    create_new_version: StrictBool = False


class ContractsView(BaseModel):
    """What a step takes and gives; on a human step the second is the form."""

    input_contract: JsonObject | None
    output_contract: JsonObject | None


class DependencyView(BaseModel):
    """A step that this one waits for. `is_default`: it only stands before, no `dependencies` name it."""

    key: str
    step_number: int
    dependency_type: Literal["sequential", "conditional", "data"]
    is_default: bool


class ReferrerView(BaseModel):
    """A place in the document that names this step; `step` is null for the playbook's `output`."""

    step: str | None
    pointer: str = Field(examples=["/steps/2/dependencies/0/depends_on_step_number"])
    way: Literal["number", "key", "expression"]


class RelationshipsView(BaseModel):
    """How a step hangs together with the others."""

    waits_for: list[DependencyView]
    followed_by: list[str]
    named_by: list[ReferrerView]


class StepProblems(BaseModel):
    """What publishing would say about this step; pointers are into the whole document."""

    errors: list[ProblemView]
    warnings: list[ProblemView]


class StepDefinitionView(StepSummary):
    """A step of a version. `contracts`, `relationships` and `validation` are there when asked for."""

    description: str | None = None
    estimated_duration_minutes: float | None = None
    required_roles: list[str] = Field(default_factory=list[str])
    parallel_group: str | None = None
    contracts: ContractsView | None = None
    relationships: RelationshipsView | None = None
    validation: StepProblems | None = None


class StepsMetadata(Metadata):
    """Beside the steps: the version they belong to, and the shape of their flow."""

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
    """Beside the changed version: whether it is a new one, and the shape of its flow."""

    is_new_version: bool
    flow: Flow


class StepsChanged(BaseModel):
    """The version after a change of its steps. `validation` says what publishing it would answer."""

    success: Literal[True] = True
    data: PlaybookView
    metadata: StepsChangedMetadata

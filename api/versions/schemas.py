"""Versions of a playbook: the base of the next one, and how two compare."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, Field, StrictInt

from api.http.schemas import RequestModel
from api.playbooks.schemas import PlaybookStatus
from playbooks.compiler.diff import FieldChange, StepChange, StepMove, StepRef
from playbooks.contracts.compatibility import ContractComparison, Direction

VersionNumber = Annotated[StrictInt, Field(ge=1, le=1_000_000)]


class BaseRequest(RequestModel):
    """Whose document the next draft begins with: one of the two."""

    base_version: VersionNumber | None = None
    from_version_id: UUID | None = None


class VersionRef(BaseModel):
    """One of two versions that are compared."""

    id: UUID
    version: int
    status: PlaybookStatus
    smart_code: str


class StepsComparison(BaseModel):
    """Steps that only the second version has, that only the first has, that differ, and that stand elsewhere."""

    added: list[StepRef]
    removed: list[StepRef]
    changed: list[StepChange]
    reordered: list[StepMove]


class ComparisonSummary(BaseModel):
    """The same in one line."""

    steps_added: int
    steps_removed: int
    steps_changed: int
    steps_reordered: int
    policies_changed: int
    input_contract: Direction
    output_contract: Direction


class ComparisonView(BaseModel):
    """What the second version has otherwise than the first. `contracts` holds those of the playbook that differ."""

    from_version: VersionRef
    to_version: VersionRef
    is_equal: bool
    summary: ComparisonSummary
    fields: list[FieldChange]
    policies: list[FieldChange]
    contracts: dict[str, ContractComparison]
    steps: StepsComparison

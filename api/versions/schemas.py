"""Schemas of the comparison of two versions."""

from __future__ import annotations

from uuid import UUID

from pydantic import BaseModel

from api.playbooks.schemas import PlaybookStatus
from playbooks.compiler.diff import FieldChange, StepChange, StepMove, StepRef
from playbooks.contracts.compatibility import ContractComparison, Direction


class VersionRef(BaseModel):
    """One of the two versions."""

    id: UUID
    version: int
    status: PlaybookStatus
    smart_code: str


class StepsComparison(BaseModel):
    """Steps that only the second version has, that only the first has, that differ, and that have moved."""

    added: list[StepRef]
    removed: list[StepRef]
    changed: list[StepChange]
    reordered: list[StepMove]


class ComparisonSummary(BaseModel):
    """Counts of the differences."""

    steps_added: int
    steps_removed: int
    steps_changed: int
    steps_reordered: int
    policies_changed: int
    input_contract: Direction
    output_contract: Direction


class ComparisonView(BaseModel):
    """Differences of the second version from the first. `contracts` holds the playbook's contracts that differ."""

    from_version: VersionRef
    to_version: VersionRef
    is_equal: bool
    summary: ComparisonSummary
    fields: list[FieldChange]
    policies: list[FieldChange]
    contracts: dict[str, ContractComparison]
    steps: StepsComparison

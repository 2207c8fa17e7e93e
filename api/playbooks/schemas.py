"""Schemas of playbook versions. The document itself is `PlaybookDocument`."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, Field

from api.http.lists import check_page
from api.http.schemas import PageQuery, ProblemView
from playbooks.common.values import JsonObject
from storage.playbooks.version_rows import PlaybookFilter

PlaybookStatus = Literal["draft", "active", "deprecated", "deleted"]


class PlaybookListQuery(PageQuery):
    """Filters of the list of playbook versions."""

    code: str | None = Field(default=None, max_length=64)
    status: PlaybookStatus | None = None
    industry: str | None = Field(default=None, max_length=30)
    module: str | None = Field(default=None, max_length=100)
    search: str | None = Field(default=None, max_length=100, description="part of the name or code")

    def to_filter(self) -> PlaybookFilter:
        """Return the filter of the rows. Raises ValidationError where a cursor and an offset are mixed."""
        check_page(self)
        return PlaybookFilter(
            code=self.code,
            statuses=() if self.status is None else (self.status,),
            industry=self.industry,
            module=self.module,
            search=self.search,
            limit=self.limit,
            offset=self.offset,
            cursor=self.cursor,
        )


class StepSummary(BaseModel):
    """Summary of a step of a version."""

    step_id: UUID
    key: str
    name: str
    step_number: int
    step_type: str
    worker_type: str
    depends_on: list[str]


class PlaybookView(BaseModel):
    """One version of a playbook. `document` is as its author wrote it."""

    id: UUID
    playbook_id: UUID
    code: str
    name: str
    description: str | None = None
    industry: str
    module: str | None = None
    version: int
    status: PlaybookStatus
    revision: int
    smart_code: str
    total_steps: int
    created_by: UUID | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    document: JsonObject | None = None
    validation: ValidationReport | None = None
    versions: list[PlaybookView] | None = None


class ValidationReport(BaseModel):
    """What publishing would report. An error prevents publication, a warning does not."""

    is_valid: bool
    errors: list[ProblemView]
    warnings: list[ProblemView]
    steps: list[StepSummary] = Field(default_factory=list[StepSummary])


PlaybookView.model_rebuild()

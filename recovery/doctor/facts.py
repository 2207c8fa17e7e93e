"""Facts about a run that the doctor compares: from its history, and from its rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Literal, TypeAlias
from uuid import UUID

from playbooks.common.values import Json, JsonObject

StepName: TypeAlias = tuple[str, int]
"""A step's key and its visit."""

Person: TypeAlias = tuple[str, str]
"""A person's id and what that person chose."""

Closed: TypeAlias = Literal["running", "completed", "failed", "cancelled", "terminated", "timed_out"]

FINISHED = ("completed", "failed", "cancelled")


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One fact on which history and rows differ. `subject` names the step, event or row."""

    code: str
    organization_id: UUID
    execution_id: UUID | None
    subject: str
    history: str
    rows: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFact:
    """One visit of a step. `attempts`: each attempt's number, and how often it may have been dispatched."""

    status: str
    seq: int
    cost: Decimal
    attempts: dict[int, int] = field(default_factory=dict[int, int])
    votes: tuple[Person, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FlushFact:
    """The content of one flush. `is_done`: the history has its completion."""

    seq: int
    status: str
    cost: Decimal
    steps: dict[StepName, StepFact]
    events: dict[int, tuple[str, str | None]]
    is_done: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectFact:
    """One dispatch of a step's effect. `succeeded`: the history has its success."""

    step: StepName
    attempt: int
    key: str
    succeeded: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultFact:
    """The result of the workflow."""

    status: str
    seq: int
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryFacts:
    """A run according to its history, over continue-as-new.

    `is_whole`: no earlier execution is missing, and none was reset. `decides`: how many decision messages came in.
    """

    closed: Closed
    last_event_at: datetime
    step_keys: tuple[str, ...]
    flushes: tuple[FlushFact, ...]
    effects: tuple[EffectFact, ...]
    decides: int
    result: ResultFact | None
    is_whole: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRow:
    """One line of the trail: its number by position, and the entry as stored."""

    line_number: int
    entry: JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class RowFacts:
    """A run according to its rows. `has_flushed`: a flush of its workflow has been applied."""

    status: str
    seq: int
    cost: Decimal
    changed_at: datetime
    has_flushed: bool
    head_count: int
    head_hash: str | None
    metadata: dict[str, Json]
    steps: dict[StepName, StepFact]
    events: tuple[EventRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Both sides of one run, `None` where a side does not have it."""

    organization_id: UUID
    execution_id: UUID
    history: HistoryFacts | None
    rows: RowFacts | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """Result of an examination. `fresh`: runs that changed meanwhile, and were left out.

    `expired`: finished runs whose history Temporal no longer keeps; only their rows were checked.
    """

    organizations: int = 0
    runs: int = 0
    fresh: int = 0
    expired: int = 0
    differences: tuple[Difference, ...] = ()

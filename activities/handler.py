"""The protocol between a step and whatever does its work: our own handlers and those of installed packages alike.

Owns the call, its result and the one way to fail. Must not know Temporal or SQL. A handler sees its step's
resolved input and its own config, never another organization and never more of the run than the compiler found
its step refers to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Protocol, runtime_checkable
from uuid import UUID

from playbooks import expressions
from playbooks.errors import PlaybooksError
from playbooks.handlers import HandlerDescription
from playbooks.values import ErrorKind, Json, JsonObject, StepError


@dataclass(frozen=True, slots=True, kw_only=True)
class HandlerCall:
    """One attempt at one step's work.

    `config` is the author's text, `${...}` unresolved: `resolve` says what it means for this input. `effect_key`
    is equal for every attempt at this visit: hand it to whatever must not happen twice. `timeout_seconds` bounds
    the attempt.
    """

    organization_id: UUID
    execution_id: UUID
    playbook_id: UUID
    step: str
    attempt: int
    effect_key: str
    timeout_seconds: float
    config: JsonObject
    input: Json
    context: JsonObject = field(default_factory=dict[str, Json])
    input_contract: JsonObject | None = None
    output_contract: JsonObject | None = None

    def names(self, extra: Mapping[str, Json] | None = None) -> JsonObject:
        """What an expression in `config` may name: in it, `input` is the step's own resolved input."""
        return {**self.context, "input": self.input, **(extra or {})}

    def resolve(self, mapping: Json, extra: Mapping[str, Json] | None = None) -> Json:
        """`mapping` with every `${...}` evaluated. Raises MappingError naming the path that is missing."""
        return expressions.resolve(mapping, self.names(extra))


@dataclass(frozen=True, slots=True, kw_only=True)
class HandlerResult:
    """What an attempt made. `cost` None means the step's own price; `needs_review` asks for a person."""

    output: Json
    cost: Decimal | None = None
    confidence: float | None = None
    confidence_source: str | None = None
    needs_review: bool = False


@runtime_checkable
class Handler(Protocol):
    """What an entry point of the group `playbook.workers` names, and what our own handlers are.

    `run` raises StepFailedError for a failure that it understands; anything else it raises counts as a defect of
    the handler (kind `system`), which is not retried. It is cancelled like any coroutine.
    """

    @property
    def description(self) -> HandlerDescription: ...

    async def run(self, call: HandlerCall) -> HandlerResult: ...


class StepFailedError(PlaybooksError):
    """An attempt failed in a way that has a kind, a code and a sentence without secrets."""

    def __init__(self, error: StepError) -> None:
        super().__init__(error.message)
        self.error = error


def failed(
    kind: ErrorKind, code: str, message: str, *, pointer: str | None = None, retry_after_ms: int | None = None
) -> StepFailedError:
    """The exception for `raise`; milliseconds as in `StepError`."""
    return StepFailedError(
        StepError(kind=kind, code=code, message=message, pointer=pointer, retry_after_ms=retry_after_ms)
    )

"""A step's work as a handler sees it: the call, its result and the one way to fail.

A handler sees its step's resolved input and its own config, never another organization, and of the run only what the
compiler found its step refers to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from uuid import UUID

from playbooks.common.errors import (
    AccessError,
    ContractError,
    InputError,
    NotFoundError,
    PlaybooksError,
    RateLimitedError,
    UnavailableError,
)
from playbooks.common.values import ErrorKind, Json, JsonObject, StepError
from playbooks.expressions import cel

_KINDS: tuple[tuple[type[PlaybooksError], ErrorKind], ...] = (
    (InputError, "validation"),
    (AccessError, "permission"),
    (NotFoundError, "not_found"),
    (RateLimitedError, "rate_limited"),
    (UnavailableError, "temporary_failure"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HandlerCall:
    """One attempt at one step's work.

    `config` is the author's text, `${...}` unresolved: `resolve` evaluates it for this input. `effect_key`
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
    visit: int = 1

    def names(self, extra: Mapping[str, Json] | None = None) -> JsonObject:
        """Return the names that an expression in `config` may use; `input` is the step's own resolved input."""
        return {**self.context, "input": self.input, **(extra or {})}

    def resolve(self, mapping: Json, extra: Mapping[str, Json] | None = None) -> Json:
        """Evaluate every `${...}` of `mapping`. Raises MappingError naming the path that is missing."""
        return cel.resolve(mapping, self.names(extra))


@dataclass(frozen=True, slots=True, kw_only=True)
class HandlerResult:
    """Result of an attempt. `cost` None means the step's own price; `needs_review` asks for a person's review."""

    output: Json
    cost: Decimal | None = None
    confidence: float | None = None
    confidence_source: str | None = None
    needs_review: bool = False


class StepFailedError(PlaybooksError):
    """A foreseen failure of an attempt, with a kind, a code and a message without secrets."""

    def __init__(self, error: StepError) -> None:
        super().__init__(error.message)
        self.error = error


def failed(
    kind: ErrorKind, code: str, message: str, *, pointer: str | None = None, retry_after_ms: int | None = None
) -> StepFailedError:
    """Return the exception to raise; milliseconds as in `StepError`."""
    return StepFailedError(
        StepError(kind=kind, code=code, message=message, pointer=pointer, retry_after_ms=retry_after_ms)
    )


def known_error(error: Exception) -> StepError | None:
    """Return kind, code and message of a foreseen error; None for a defect."""
    if isinstance(error, StepFailedError):
        return error.error
    if isinstance(error, PlaybooksError):
        kind: ErrorKind = "system"
        for family, family_kind in _KINDS:
            if isinstance(error, family):
                kind = family_kind
                break
        pointer = error.problems[0].pointer if error.problems else None
        return StepError(kind=kind, code=error.code, message=_sentence(error), pointer=pointer)
    if isinstance(error, TimeoutError):
        return StepError(kind="timeout", code="STEP_TIMEOUT", message="the attempt took longer than its timeout")
    return None


def defect(error: Exception) -> StepError:
    """Return the error for an unforeseen exception: kind `system`, with its class and no text that may quote data."""
    message = f"the handler failed unexpectedly: {type(error).__name__}"
    return StepError(kind="system", code="INTERNAL_ERROR", message=message)


def _sentence(error: PlaybooksError) -> str:
    """Join the detail and its first three problems. A contract's problems name the rule, never the value."""
    if not isinstance(error, ContractError) or not error.problems:
        return error.detail
    shown = "; ".join(f"{problem.pointer or '/'}: {problem.message}" for problem in error.problems[:3])
    return f"{error.detail}: {shown}"

"""One tree of errors, each with a stable code. The API maps codes to statuses; activities to failure types.

    PlaybooksError
    |-- InputError                      what was sent is wrong
    |   |-- MalformedRequestError       VALIDATION_ERROR          cannot be parsed
    |   |-- ValidationError             VALIDATION_ERROR          a body's content
    |   |-- InputContractError          INPUT_VALIDATION_ERROR    a run's input
    |   |-- ContractError               CONTRACT_VALIDATION_FAILED a form or a step's output
    |   |-- PublicationError            VALIDATION_FAILED         a playbook that cannot be published
    |   |-- NotSupportedError           NOT_SUPPORTED
    |   |-- InvalidActionError          INVALID_ACTION
    |   |-- LimitExceededError          RESOURCE_LIMIT_EXCEEDED
    |   |-- IdempotencyKeyReusedError   IDEMPOTENCY_KEY_REUSED
    |   `-- MappingError                VALIDATION_ERROR          an expression that cannot be evaluated
    |-- AccessError                     the caller may not do this
    |   |-- UnauthorizedError           UNAUTHORIZED
    |   |-- ForbiddenError              FORBIDDEN
    |   |-- SelfApprovalError           SELF_APPROVAL
    |   `-- NotEligibleError            NOT_ELIGIBLE
    |-- NotFoundError                   NOT_FOUND
    |-- ConflictError                   the state does not allow it
    |   |-- InvalidPlaybookStatusError  INVALID_PLAYBOOK_STATUS
    |   |-- InvalidTransitionError      INVALID_STATE_TRANSITION
    |   |-- InvalidStatusError          INVALID_STATUS
    |   |-- InvalidStepStateError       INVALID_STEP_STATE
    |   |-- AlreadyCancelledError       ALREADY_CANCELLED
    |   |-- AlreadyDecidedError         ALREADY_DECIDED
    |   |-- AlreadyExistsError          ALREADY_EXISTS
    |   |-- TaskClosedError             TASK_CLOSED
    |   `-- DuplicateExecutionError     DUPLICATE_EXECUTION
    |-- PlaybookImmutableError          PLAYBOOK_IMMUTABLE
    |-- PreconditionFailedError         PRECONDITION_FAILED
    |-- PreconditionRequiredError       PRECONDITION_REQUIRED
    |-- RateLimitedError                RATE_LIMITED
    `-- UnavailableError                try again later
        |-- ServiceUnavailableError     SERVICE_UNAVAILABLE
        `-- WorkerUnavailableError      WORKER_UNAVAILABLE

No branch reads a message's text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Literal, TypeAlias


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong: where (JSON Pointer into what was sent), which rule (code), and what helps."""

    pointer: str
    code: str
    message: str
    suggestion: str | None = None
    severity: Literal["error", "warning"] = "error"


class PlaybooksError(Exception):
    """Root of the tree. `detail` is one sentence for people, `problems` point into what was sent."""

    code: ClassVar[str] = "INTERNAL_ERROR"

    def __init__(self, detail: str, problems: Sequence[Problem] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.problems = tuple(problems)


class InputError(PlaybooksError):
    code = "VALIDATION_ERROR"


class MalformedRequestError(InputError):
    pass


class ValidationError(InputError):
    pass


class MappingError(InputError):
    """An expression could not be evaluated; the first problem's pointer names the path."""


class InputContractError(InputError):
    code = "INPUT_VALIDATION_ERROR"


class ContractError(InputError):
    code = "CONTRACT_VALIDATION_FAILED"


class PublicationError(InputError):
    code = "VALIDATION_FAILED"


class NotSupportedError(InputError):
    code = "NOT_SUPPORTED"


class InvalidActionError(InputError):
    code = "INVALID_ACTION"


class LimitExceededError(InputError):
    code = "RESOURCE_LIMIT_EXCEEDED"


class IdempotencyKeyReusedError(InputError):
    code = "IDEMPOTENCY_KEY_REUSED"


class AccessError(PlaybooksError):
    code = "FORBIDDEN"


class UnauthorizedError(AccessError):
    code = "UNAUTHORIZED"


class ForbiddenError(AccessError):
    code = "FORBIDDEN"


class SelfApprovalError(AccessError):
    code = "SELF_APPROVAL"


class NotEligibleError(AccessError):
    code = "NOT_ELIGIBLE"


class NotFoundError(PlaybooksError):
    code = "NOT_FOUND"


class ConflictError(PlaybooksError):
    code = "INVALID_STATUS"


class InvalidPlaybookStatusError(ConflictError):
    code = "INVALID_PLAYBOOK_STATUS"


class InvalidTransitionError(ConflictError):
    code = "INVALID_STATE_TRANSITION"


class InvalidStatusError(ConflictError):
    code = "INVALID_STATUS"


class InvalidStepStateError(ConflictError):
    code = "INVALID_STEP_STATE"


class AlreadyCancelledError(ConflictError):
    code = "ALREADY_CANCELLED"


class AlreadyDecidedError(ConflictError):
    code = "ALREADY_DECIDED"


class AlreadyExistsError(ConflictError):
    code = "ALREADY_EXISTS"


class TaskClosedError(ConflictError):
    code = "TASK_CLOSED"


class DuplicateExecutionError(ConflictError):
    code = "DUPLICATE_EXECUTION"


class PlaybookImmutableError(PlaybooksError):
    code = "PLAYBOOK_IMMUTABLE"


class PreconditionFailedError(PlaybooksError):
    code = "PRECONDITION_FAILED"


class PreconditionRequiredError(PlaybooksError):
    code = "PRECONDITION_REQUIRED"


class RateLimitedError(PlaybooksError):
    code = "RATE_LIMITED"


class UnavailableError(PlaybooksError):
    code = "SERVICE_UNAVAILABLE"


class ServiceUnavailableError(UnavailableError):
    code = "SERVICE_UNAVAILABLE"


class WorkerUnavailableError(UnavailableError):
    code = "WORKER_UNAVAILABLE"


RefusalCode: TypeAlias = (
    Literal["ALREADY_CANCELLED", "ALREADY_DECIDED", "INVALID_STATUS", "INVALID_STEP_STATE", "NOT_ELIGIBLE", "NOT_FOUND"]
    | Literal["RESOURCE_LIMIT_EXCEEDED", "SELF_APPROVAL", "TASK_CLOSED", "UNAUTHORIZED", "VALIDATION_ERROR"]
)
"""Codes of the tree with which the rules of a run refuse a control message."""

REFUSALS: Final[Mapping[RefusalCode, str]] = {
    "ALREADY_CANCELLED": "the run is cancelled already",
    "ALREADY_DECIDED": "this person has decided already",
    "INVALID_STATUS": "the run's status does not allow it",
    "INVALID_STEP_STATE": "the step's state does not allow it",
    "NOT_ELIGIBLE": "this person may not act on this task",
    "NOT_FOUND": "the run has no such task",
    "RESOURCE_LIMIT_EXCEEDED": "the run keeps as many messages as it may",
    "SELF_APPROVAL": "separation of duties: this person may not decide this step",
    "TASK_CLOSED": "the task is closed",
    "UNAUTHORIZED": "the signature does not hold",
    "VALIDATION_ERROR": "the message cannot be read",
}


def error(pointer: str, code: str, message: str, suggestion: str | None = None) -> Problem:
    """Return a problem that refuses what was sent."""
    return Problem(pointer=pointer, code=code, message=message, suggestion=suggestion)


def warning(pointer: str, code: str, message: str, suggestion: str | None = None) -> Problem:
    """Return a problem that comes back with the answer and refuses nothing."""
    return Problem(pointer=pointer, code=code, message=message, suggestion=suggestion, severity="warning")

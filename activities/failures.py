"""Maps exceptions of a step's work to the `StepError` that the machine decides about, and failures to Temporal's.

Invariant: an unforeseen exception is a defect of kind `system`, whose message has the exception's class and nothing
that it may have quoted from the step's data.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

import structlog
from temporalio.exceptions import ApplicationError

from playbooks.common.errors import UnavailableError
from playbooks.common.values import PayloadRef, StepError
from playbooks.engine.model.temporal_messages import LoopOutcome, OutcomeOfCheck, OutputResult, StepOutcome
from playbooks.evaluation.work import defect, known_error

_Result = TypeVar("_Result", StepOutcome, LoopOutcome, OutcomeOfCheck, OutputResult)

NOT_STARTED = "NOT_STARTED"
"""The code of an attempt that ended before its effect could begin, so that it does not count."""


def step_error(error: Exception) -> StepError:
    """Return kind, code and message of `error`; a defect is logged with its traceback."""
    known = known_error(error)
    if known is not None:
        return known
    # The frames only: the exception's own text may quote the step's data.
    frames = traceback.format_tb(error.__traceback__)
    structlog.get_logger(__name__).error("step_defect", error_type=type(error).__name__, frames=frames)
    return defect(error)


async def timed_total(work: Awaitable[_Result], failed: Callable[[StepError], _Result]) -> _Result:
    """Await `work` and add its duration; make what it raises a result, so that no document blocks a workflow.

    Raises UnavailableError: an outage is nobody's failure, and the activity is repeated.
    """
    started = time.perf_counter()
    try:
        result = await work
    except UnavailableError:
        raise
    except Exception as error:
        result = failed(step_error(error))
    return replace(result, elapsed_ms=round((time.perf_counter() - started) * 1000))


def not_started(message: str = "the database is away") -> StepError:
    """Return the error of an attempt that could not begin; the machine dispatches it again under the same key."""
    return StepError(kind="temporary_failure", code=NOT_STARTED, message=message)


def as_application_error(outcome: StepOutcome) -> ApplicationError:
    """Return the exception for a failed outcome: its kind is the failure's type, the outcome its details.

    Not retryable by Temporal: the machine owns a step's retries.
    """
    error = outcome.error
    if error is None:
        raise ValueError("only a failed outcome becomes a failure")
    # Details are read as plain JSON, where a reference looks like any other value.
    details = replace(outcome, input=None) if isinstance(outcome.input, PayloadRef) else outcome
    return ApplicationError(error.message, details, type=error.kind, non_retryable=True)

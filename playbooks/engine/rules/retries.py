"""Retries of failed attempts, and their delays."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from playbooks.common.values import MAX_RETRY_AFTER_MS, StepError
from playbooks.engine.model.plan import PlanStep, RetryPolicy
from playbooks.engine.model.state import RunState, StepState

NOT_STARTED = "NOT_STARTED"
"""Code of an attempt that ended before its effect could begin (our own database was away): it does not count."""

MAX_LOST = 20
"""Number of times that one attempt is dispatched again after its worker vanished."""


def policy_of(step: PlanStep, state: RunState) -> RetryPolicy:
    """Return the step's own policy, else the playbook's with the run's `max_retries`."""
    if step.own_retry or state.max_retries is None:
        return step.retry
    return replace(step.retry, max_retries=state.max_retries)


def delay_before_next(policy: RetryPolicy, step: StepState, error: StepError) -> timedelta | None:
    """Return the delay before the next attempt, or None where there is none."""
    made = len(step.attempts) - step.attempts_before_retry
    if error.kind not in policy.retry_on_errors or made > policy.max_retries:
        return None
    wished = min(error.retry_after_ms or 0, MAX_RETRY_AFTER_MS)
    return timedelta(milliseconds=max(_backoff_ms(policy, made), wished))


def _backoff_ms(policy: RetryPolicy, made: int) -> float:
    """Return the delay after the `made`-th attempt; a power too large for a float is the cap."""
    try:
        grown = policy.initial_delay_ms * policy.backoff_factor ** (made - 1)
    except OverflowError:
        return policy.max_delay_ms
    return min(grown, policy.max_delay_ms)


def delay_before_redispatch(made: int) -> timedelta:
    """Return the delay before an attempt that could not begin is dispatched again: 0.5 s, doubling, at most 5 s."""
    return timedelta(milliseconds=min(5_000, 500 * 2 ** min(made, 6)))

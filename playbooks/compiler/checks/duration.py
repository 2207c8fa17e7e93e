"""Steps that may take longer than their run may: retries, windows and waits against `policies.timeout_minutes`.

Everything here is a warning: the run's own options may give it more time.
"""

from __future__ import annotations

from collections.abc import Iterator

from playbooks.common.errors import Problem, warning
from playbooks.compiler.order import LocatedStep
from playbooks.compiler.step_rules import retry_policy
from playbooks.document.handler_catalog import HandlerDescription
from playbooks.document.model import PlaybookDocument
from playbooks.engine.model.plan import DEFAULT_TIMEOUT_SECONDS, RetryPolicy

_MINUTES = {"duration_minutes": 1.0, "duration_seconds": 1 / 60}


def problems(document: PlaybookDocument, item: LocatedStep, handler: HandlerDescription | None) -> Iterator[Problem]:
    """Yield what of one step may end after the run's timeout."""
    minutes = document.policies.timeout_minutes if document.policies else None
    if minutes is None:
        return
    yield from _window(item, minutes)
    yield from _wait(item, minutes)
    yield from _child(item, minutes)
    if handler is not None and item.step.worker_type not in ("timer", "sub_playbook"):
        yield from _attempts(document, item, handler, minutes)


def worst_case_minutes(policy: RetryPolicy, timeout_seconds: float) -> float:
    """Return the longest time of a step's attempts: all time out, with the delays between. No `Retry-After`."""
    retries = policy.max_retries if "timeout" in policy.retry_on_errors else 0
    delays, delay = 0.0, float(policy.initial_delay_ms)
    for _ in range(retries):
        delays += min(delay, policy.max_delay_ms)
        delay = min(delay * policy.backoff_factor, policy.max_delay_ms)
    return ((retries + 1) * timeout_seconds + delays / 1000) / 60


def _attempts(
    document: PlaybookDocument, item: LocatedStep, handler: HandlerDescription, minutes: float
) -> Iterator[Problem]:
    own = item.step.timeout_seconds is not None or item.step.retry is not None
    # A pure handler answers at once: only an explicit timeout or retry is worth a warning.
    if handler.is_pure and not own:
        return
    shared = document.policies.retry if document.policies else None
    needed = worst_case_minutes(
        retry_policy(shared, item.step.retry), item.step.timeout_seconds or DEFAULT_TIMEOUT_SECONDS
    )
    if needed > minutes:
        field = "retry" if item.step.retry is not None else "timeout_seconds"
        message = f"its attempts may take {_rounded(needed)} minutes, and the run ends after {_rounded(minutes)}"
        hint = "fewer retries, a shorter timeout, or a longer run"
        yield warning(f"{item.pointer}/{field}", "EXCEEDS_RUN_TIMEOUT", message, hint)


def _window(item: LocatedStep, minutes: float) -> Iterator[Problem]:
    window = item.step.approval.window_minutes if item.step.approval else None
    if window is not None and window > minutes:
        message = f"people have {_rounded(window)} minutes to decide, and the run ends after {_rounded(minutes)}"
        place = f"{item.pointer}/approval/window_minutes"
        yield warning(place, "EXCEEDS_RUN_TIMEOUT", message, "a shorter window, or a longer run")


def _wait(item: LocatedStep, minutes: float) -> Iterator[Problem]:
    if item.step.step_type != "system" or item.step.worker_type != "timer":
        return
    for name, factor in _MINUTES.items():
        value = (item.step.config or {}).get(name)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and value * factor > minutes:
            message = f"it waits {_rounded(value * factor)} minutes, and the run ends after {_rounded(minutes)}"
            yield warning(f"{item.pointer}/config/{name}", "EXCEEDS_RUN_TIMEOUT", message)


def _child(item: LocatedStep, minutes: float) -> Iterator[Problem]:
    """Check the timeout of a `sub_playbook`, which is its wait: the attempts only start the other run."""
    seconds = item.step.timeout_seconds
    if item.step.worker_type == "sub_playbook" and seconds is not None and seconds / 60 > minutes:
        message = f"it may wait {_rounded(seconds / 60)} minutes, and the run ends after {_rounded(minutes)}"
        yield warning(f"{item.pointer}/timeout_seconds", "EXCEEDS_RUN_TIMEOUT", message)


def _rounded(minutes: float) -> str:
    return f"{minutes:.1f}".removesuffix(".0")

"""Output contracts of steps whose output is known before any run: a timer, or a wait that times out.

The payload of a signal is checked when it is received.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from playbooks.common.errors import Problem
from playbooks.common.values import JsonObject
from playbooks.compiler.order import LocatedStep
from playbooks.contracts.validation import validate
from playbooks.engine.model.wait_outputs import no_signal_output, timer_output

_ANY_TIME = datetime(2026, 1, 1, tzinfo=UTC)


def problems(item: LocatedStep) -> Iterator[Problem]:
    """Yield the problem of a fixed output that the contract refuses."""
    contract, made = item.step.output_contract, _fixed_output(item)
    if contract is None or made is None:
        return
    for each in validate(contract, made, pointer=""):
        where = each.pointer or "the output itself"
        message = f"the step's output, {_text(made)}, does not satisfy its contract: {where}: {each.message}"
        hint = "the contract describes what the step gives: allow this, or leave the contract out"
        yield Problem(
            pointer=f"{item.pointer}/output_contract", code="OUTPUT_MISMATCH", message=message, suggestion=hint
        )
        return


def _fixed_output(item: LocatedStep) -> JsonObject | None:
    config = item.step.config or {}
    if item.step.step_type != "system":
        return None
    if item.step.worker_type == "timer":
        return timer_output(_ANY_TIME)
    ends = any(name in config for name in ("timeout_seconds", "timeout_minutes", "until"))
    if item.step.worker_type == "signal_wait" and ends and config.get("on_timeout") != "fail":
        return no_signal_output()
    return None


def _text(made: JsonObject) -> str:
    return "{" + ", ".join(made) + "}"

"""Named messages from outside: the first that a `signal_wait` waits for ends it.

A message is delivered to every step that waits for it. Where none does, it is kept for a `signal_wait` that keeps
messages, or dropped. A paused run keeps everything until it resumes.
"""

from __future__ import annotations

from dataclasses import replace

from playbooks.common.values import Json, JsonObject, StepError
from playbooks.engine.model.control_messages import Action, Signal, size_bytes
from playbooks.engine.model.plan import Plan, PlanStep
from playbooks.engine.model.state import KeptSignal, StepState
from playbooks.engine.model.wait_outputs import no_signal_output, signal_output
from playbooks.engine.rules.draft import Draft
from playbooks.engine.rules.outcomes import complete, fail

MAX_KEPT = 100
MAX_KEPT_BYTES = 1_000_000


def is_full(draft: Draft, payload: Json) -> bool:
    """Return whether the run keeps as much as it may: continue-as-new carries its whole state."""
    kept = [signal.payload for signal in draft.state.signals]
    return len(kept) >= MAX_KEPT or sum(map(size_bytes, [*kept, payload])) > MAX_KEPT_BYTES


def contracts_of(plan: Plan, action: Action) -> tuple[str, ...]:
    """Return the steps whose contracts a message has to satisfy: all that may ever receive it."""
    if not isinstance(action, Signal):
        return ()
    takers = [(step.key, step.signal) for step in plan.steps if step.signal and step.signal.has_contract]
    return tuple(key for key, signal in takers if action.name in signal.names)


def receive(draft: Draft, signal: KeptSignal) -> JsonObject:
    """Deliver a message, or keep it; return `{delivered_to: [steps], kept}`."""
    draft.record("signal_received", actor=signal.actor, data={"name": signal.name})
    if draft.is_paused:
        _keep(draft, replace(signal, is_held=True))
        return {"delivered_to": [], "kept": True}
    delivered = _deliver(draft, signal)
    is_kept = not delivered and _is_kept_for(draft, signal.name)
    if is_kept:
        _keep(draft, signal)
    return {"delivered_to": list[Json](delivered), "kept": is_kept}


def release(draft: Draft) -> None:
    """Deliver what came while the run was paused, in the order it came."""
    held = [signal for signal in draft.state.signals if signal.is_held]
    if not held:
        return
    draft.set_internal(signals=tuple(signal for signal in draft.state.signals if not signal.is_held))
    for signal in held:
        if draft.is_finished:
            return
        if not _deliver(draft, signal) and _is_kept_for(draft, signal.name):
            _keep(draft, replace(signal, is_held=False))


def on_waiting(draft: Draft, step: PlanStep, current: StepState) -> None:
    """Let a kept message end a step that begins to wait."""
    if step.signal is None or not step.signal.keeps:
        return
    for signal in draft.state.signals:
        if signal.name in step.signal.names and not signal.is_held:
            draft.set_internal(signals=tuple(other for other in draft.state.signals if other is not signal))
            _end(draft, step, current, signal)
            return


def on_timeout(draft: Draft, step: PlanStep, current: StepState) -> None:
    """Complete a step that timed out, or fail it by its `on_timeout`."""
    if step.signal is not None and step.signal.on_timeout == "fail":
        message = f"none of the signals of step '{step.name}' came in time"
        fail(draft, step, current, StepError(kind="timeout", code="SIGNAL_TIMEOUT", message=message))
        return
    complete(draft, step, draft.update_step(current, output=no_signal_output()))


def _deliver(draft: Draft, signal: KeptSignal) -> list[str]:
    delivered: list[str] = []
    for key in list(draft.state.steps):
        step, current = draft.plan.step(key), draft.state.steps[key]
        waits = current.status == "waiting" and current.incident_at is None
        if waits and step.signal is not None and signal.name in step.signal.names:
            _end(draft, step, current, signal)
            delivered.append(key)
    return delivered


def _end(draft: Draft, step: PlanStep, current: StepState, signal: KeptSignal) -> None:
    draft.stop_step_timers(current, "signal")
    output = signal_output(signal.name, signal.payload, signal.at)
    draft.record("signal_delivered", actor=signal.actor, step=current.key, data={"name": signal.name})
    complete(draft, step, draft.update_step(current, output=output))


def _is_kept_for(draft: Draft, name: str) -> bool:
    return any(step.signal and step.signal.keeps and name in step.signal.names for step in draft.plan.steps)


def _keep(draft: Draft, signal: KeptSignal) -> None:
    draft.set_internal(signals=(*draft.state.signals, signal))

"""One attempt at a step, from the committed context to its outcome, for local and regular activities alike.

Invariant: a failure of our own database before the work began is `NOT_STARTED` and never counts against the step;
whatever else goes wrong is an outcome with a kind, never an exception.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from activities.dependencies import ActivityDependencies
from activities.failures import not_started, step_error, timed_total
from activities.handler import Handler, failed
from activities.payloads import INPUT_LINES, OUTPUT_LINES, load, load_context, store_if_large
from activities.versions import load_version
from playbooks.common.errors import UnavailableError
from playbooks.common.values import Json, PayloadRef, StepError
from playbooks.engine.model.temporal_messages import StepCall, StepOutcome
from playbooks.evaluation import steps
from playbooks.evaluation.steps import Evaluation, OpenStep


@dataclass(slots=True)
class _Progress:
    """How far an attempt came, also where it failed half-way. `input`: the value, or where it is stored."""

    found: Evaluation = field(default_factory=Evaluation)
    input: Json | PayloadRef = None
    is_done: bool = False

    def report(self, outcome: StepOutcome) -> StepOutcome:
        return replace(self.found.report(outcome), input=self.input)


async def prepare(deps: ActivityDependencies, call: StepCall) -> StepOutcome:
    """Evaluate condition and input of a step that is carried elsewhere: `ready` with its input, `skipped`, or `failed`.

    A `timer` gets its `wait_until`. Raises ServiceUnavailableError while the database is needed and away: there is
    no attempt yet that could be made again, so the caller's retry policy has to. A repeat changes nothing.
    """
    progress = _Progress()
    outcome = await timed_total(_prepare(deps, call, progress), _failed)
    return progress.report(outcome)


async def execute(deps: ActivityDependencies, call: StepCall, handlers: Mapping[str, Handler]) -> StepOutcome:
    """Make one attempt at a step's work; `handlers` by name. Raises nothing but cancellation.

    A repeat hands the handler the same `effect_key`, so an effect that honours it happens once.
    """
    progress = _Progress()
    outcome = await timed_total(_attempt_or_not_started(deps, call, handlers, progress), _failed)
    return progress.report(outcome)


async def _prepare(deps: ActivityDependencies, call: StepCall, progress: _Progress) -> StepOutcome:
    step = await _open(deps, call)
    await _evaluate(deps, call, step, progress)
    outcome = steps.prepared(call, step, progress.found, datetime.now(UTC))
    if progress.found.items is None:
        return outcome
    # Stored where the step's input would be: the step itself has none, its items have.
    sensitive = step.plan.for_each.sensitive_items if step.plan.for_each else ()
    line = INPUT_LINES + _line_of(call, step)
    return replace(outcome, items=await store_if_large(deps, call, line, progress.found.items, sensitive))


async def _attempt_or_not_started(
    deps: ActivityDependencies, call: StepCall, handlers: Mapping[str, Handler], progress: _Progress
) -> StepOutcome:
    try:
        return await _attempt(deps, call, handlers, progress)
    except UnavailableError as error:
        return _failed(step_error(error) if progress.is_done else not_started())


async def _attempt(
    deps: ActivityDependencies, call: StepCall, handlers: Mapping[str, Handler], progress: _Progress
) -> StepOutcome:
    step = await _open(deps, call)
    await _evaluate(deps, call, step, progress)
    if progress.found.skipped is not None:
        return StepOutcome(status="skipped")
    handler = _handler_for(step, handlers)
    async with asyncio.timeout(step.plan.timeout_seconds):
        result = await handler.run(steps.handler_call(call, step, progress.found.input))
    progress.is_done = True
    if step.plan.child is None or not step.plan.child.waits:  # else its output comes with the end of that run
        steps.check_output(step.document, result.output)
    line = OUTPUT_LINES + _line_of(call, step)
    output = await store_if_large(deps, call, line, result.output, step.plan.sensitive_output, waits=True)
    return steps.succeeded(result, output)


async def _evaluate(deps: ActivityDependencies, call: StepCall, step: OpenStep, progress: _Progress) -> None:
    """Note in `progress` the step's conditions and its input, as a value and as it is stored."""
    found = progress.found
    if call.is_prepared:
        progress.input = call.prepared_input
        found.input = await load(deps, call, call.prepared_input)
        return
    try:
        steps.evaluate(call, step, found)
    finally:
        # An input that does not satisfy its contract is reported as well.
        if found.has_input:
            line = INPUT_LINES + _line_of(call, step)
            progress.input = await store_if_large(deps, call, line, found.input, step.plan.sensitive_input)


def _line_of(call: StepCall, step: OpenStep) -> int:
    return call.line if call.line is not None else step.plan.number


async def _open(deps: ActivityDependencies, call: StepCall) -> OpenStep:
    version = await load_version(deps, call.organization_id, call.playbook_id)
    context = await load_context(deps, call)
    if isinstance(call.items, PayloadRef) and call.index is not None:
        items = await _stored_items(deps, call, call.items)
        context = {**context, "item": items[call.index] if isinstance(items, list) else None}
    return OpenStep(version, version.step(call.step), version.plan_step(call.step), context)


async def _stored_items(deps: ActivityDependencies, call: StepCall, reference: PayloadRef) -> Json:
    key = (call.organization_id, call.execution_id, reference.sha256)
    found = deps.lists.get(key)
    if found is None:
        found = await load(deps, call, reference)
        deps.lists.put(key, found)
    return found


def _handler_for(step: OpenStep, handlers: Mapping[str, Handler]) -> Handler:
    name = step.handler_name
    handler = handlers.get(name)
    if handler is None or handler.description.step_type != step.plan.step_type:
        raise failed("system", "UNKNOWN_HANDLER", f"this worker has no handler '{name}'")
    return handler


def _failed(error: StepError) -> StepOutcome:
    return StepOutcome(status="failed", error=error)

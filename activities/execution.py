"""One attempt at a step, from the committed context to its outcome: shared by the lane and the regular activities.

Owns what is stored between evaluating, work and checks, whose order and rules are `playbooks/evaluation`. Must not know
which carrier it runs in, nor what any handler does. Invariant: a failure of our own database before the work began is
`NOT_STARTED` and never counts against the step; whatever else goes wrong is an outcome with a kind, never an exception.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from activities.dependencies import ActivityDependencies
from activities.failures import not_started, step_error
from activities.handler import Handler, failed
from activities.payloads import INPUT_LINES, OUTPUT_LINES, by_size, load, load_context
from activities.versions import load_version
from playbooks.common.errors import UnavailableError
from playbooks.common.values import Json, JsonObject, PayloadRef
from playbooks.engine.model.temporal_messages import StepCall, StepOutcome
from playbooks.evaluation import steps
from playbooks.evaluation.conditions import skip_of
from playbooks.evaluation.steps import Evaluation, OpenStep
from playbooks.evaluation.timing import due_of


@dataclass(slots=True)
class _Progress:
    """How far an attempt came: what an outcome tells even where it failed half-way."""

    skipped: str | None = None
    values: JsonObject = field(default_factory=dict[str, Json])
    input: Json | PayloadRef = None
    is_done: bool = False


async def prepare(deps: ActivityDependencies, call: StepCall) -> StepOutcome:
    """Condition and input of a step that is carried elsewhere: `ready` with its input, `skipped`, or `failed`.

    A `timer` gets its `wait_until`. Raises ServiceUnavailableError while the database is needed and away: there is
    no attempt yet that could be made again, so the caller's retry policy has to. A repeat changes nothing.
    """
    started = time.perf_counter()
    progress = _Progress()
    due = None
    error = None
    items = Items()
    try:
        step = await _open(deps, call)
        if call.opens_loop:
            items = await _items_of(deps, call, step, progress)
        else:
            value = await _input_of(deps, call, step, progress)
            if progress.skipped is None:
                due = due_of(steps.handler_call(call, step, value), step.plan.carrier, datetime.now(UTC))
    except UnavailableError:
        raise
    # Total on purpose: whatever an author's document leads to is the step's failure, not the workflow's.
    except Exception as caught:
        error = step_error(caught)
    status = "failed" if error else "ready" if progress.skipped is None else "skipped"
    return StepOutcome(
        status=status,
        input=progress.input,
        values=progress.values,
        reason=progress.skipped,
        error=error,
        wait_until=due,
        items=items.held,
        item_count=items.count,
        elapsed_ms=_since(started),
    )


async def execute(deps: ActivityDependencies, call: StepCall, handlers: Mapping[str, Handler]) -> StepOutcome:
    """One attempt at a step's work; `handlers` by name. Raises nothing but cancellation.

    A repeat hands the handler the same `effect_key`, so an effect that honours it happens once.
    """
    started = time.perf_counter()
    progress = _Progress()
    try:
        outcome = await _attempt(deps, call, handlers, progress)
    except UnavailableError as caught:
        outcome = StepOutcome(status="failed", error=step_error(caught) if progress.is_done else not_started())
    # Total on purpose, as above.
    except Exception as caught:
        outcome = StepOutcome(status="failed", error=step_error(caught))
    return replace(
        outcome, input=progress.input, values=progress.values, reason=progress.skipped, elapsed_ms=_since(started)
    )


async def _attempt(
    deps: ActivityDependencies, call: StepCall, handlers: Mapping[str, Handler], progress: _Progress
) -> StepOutcome:
    step = await _open(deps, call)
    value = await _input_of(deps, call, step, progress)
    if progress.skipped is not None:
        return StepOutcome(status="skipped")
    handler = _handler_for(step, handlers)
    async with asyncio.timeout(step.plan.timeout_seconds):
        result = await handler.run(steps.handler_call(call, step, value))
    progress.is_done = True
    if step.plan.child is None or not step.plan.child.waits:  # else its output comes with the end of that run
        steps.check_output(step.document, result.output)
    output = await by_size(
        deps, call, OUTPUT_LINES + _line_of(call, step), result.output, step.plan.sensitive_output, waits=True
    )
    return StepOutcome(
        status="succeeded",
        output=output,
        cost=result.cost,
        confidence=result.confidence,
        confidence_source=result.confidence_source,
        needs_review=result.needs_review,
    )


@dataclass(frozen=True, slots=True)
class Items:
    """What a `for_each` goes over; the list itself, or where it is stored."""

    held: Json | PayloadRef = None
    count: int | None = None


async def _items_of(deps: ActivityDependencies, call: StepCall, step: OpenStep, progress: _Progress) -> Items:
    """The list of a `for_each` step whose condition holds."""
    progress.skipped, progress.values = skip_of(step.version.plan, step.document, step.context)
    if progress.skipped is not None:
        return Items()
    found = steps.items_of(step)
    # Kept where the step's input would be: the step itself has none, its items have.
    sensitive = step.plan.for_each.sensitive_items if step.plan.for_each else ()
    held = await by_size(deps, call, INPUT_LINES + _line_of(call, step), found, sensitive)
    return Items(held, len(found))


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
    found = deps.lists.find(call.organization_id, call.execution_id, reference)
    if found is None:
        found = await load(deps, call, reference)
        deps.lists.keep(call.organization_id, call.execution_id, reference, found)
    return found


async def _input_of(deps: ActivityDependencies, call: StepCall, step: OpenStep, progress: _Progress) -> Json:
    """The step's checked input, also noted in `progress`; `progress.skipped` says why there is none."""
    if call.is_prepared:
        progress.input = call.prepared_input
        return await load(deps, call, call.prepared_input)
    found = Evaluation()
    try:
        steps.evaluate(step, found)
    finally:
        # An input that does not satisfy its contract is told as well.
        progress.skipped, progress.values = found.skipped, found.values
        if found.has_input:
            progress.input = await by_size(
                deps, call, INPUT_LINES + _line_of(call, step), found.input, step.plan.sensitive_input
            )
    return found.input


def _handler_for(step: OpenStep, handlers: Mapping[str, Handler]) -> Handler:
    name = step.handler_name
    handler = handlers.get(name)
    if handler is None or handler.description.step_type != step.plan.step_type:
        raise failed("system", "UNKNOWN_HANDLER", f"this worker has no handler '{name}'")
    return handler


def _since(started: float) -> int:
    return round((time.perf_counter() - started) * 1000)

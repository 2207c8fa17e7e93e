"""What loops need from outside the workflow: whether they go on, and what their items made together."""

from __future__ import annotations

import time

from activities.dependencies import ActivityDependencies
from activities.failures import step_error
from activities.payloads import OUTPUT_LINES, by_size, load, load_context
from activities.versions import load_version
from playbooks.common.errors import UnavailableError
from playbooks.engine.model.temporal_messages import CollectCall, LoopCall, LoopOutcome, StepOutcome
from playbooks.evaluation import steps


async def evaluate_loop(deps: ActivityDependencies, call: LoopCall) -> LoopOutcome:
    """Whether the loop's condition holds. Raises ServiceUnavailableError; a repeat gives the same answer."""
    started = time.perf_counter()
    try:
        version = await load_version(deps, call.organization_id, call.playbook_id)
        result = steps.loop_condition(version.step(call.step), await load_context(deps, call))
        outcome = LoopOutcome(holds=result.holds, values=result.values)
    except UnavailableError:
        raise
    # Total on purpose: a condition that cannot be decided fails the step, not the workflow's task.
    except Exception as caught:
        outcome = LoopOutcome(error=step_error(caught))
    return LoopOutcome(holds=outcome.holds, error=outcome.error, values=outcome.values, elapsed_ms=_since(started))


async def collect_items(deps: ActivityDependencies, call: CollectCall) -> StepOutcome:
    """The output `{results, count, completed, failed, skipped}` of a `for_each` step.

    `results` has a place for each item, null where it made nothing. Raises ServiceUnavailableError.
    """
    started = time.perf_counter()
    try:
        version = await load_version(deps, call.organization_id, call.playbook_id)
        results = {index: await load(deps, call, value) for index, value in call.results.items()}
        output = steps.collected_output(call, results)
        sensitive = version.plan_step(call.step).sensitive_output
        held = await by_size(deps, call, OUTPUT_LINES + call.line, output, sensitive)
        outcome = StepOutcome(status="succeeded", output=held, elapsed_ms=_since(started))
    except UnavailableError:
        raise
    except Exception as caught:
        outcome = StepOutcome(status="failed", error=step_error(caught), elapsed_ms=_since(started))
    return outcome


def _since(started: float) -> int:
    return round((time.perf_counter() - started) * 1000)

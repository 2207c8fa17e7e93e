"""Activities of loops: whether a loop goes on, and the output of its items."""

from __future__ import annotations

from activities.dependencies import ActivityDependencies
from activities.failures import timed_total
from activities.payloads import OUTPUT_LINES, load, load_context, store_if_large
from activities.versions import load_version
from playbooks.engine.model.temporal_messages import CollectCall, LoopCall, LoopOutcome, StepOutcome
from playbooks.evaluation import steps


async def evaluate_loop(deps: ActivityDependencies, call: LoopCall) -> LoopOutcome:
    """Evaluate the loop's condition. Raises ServiceUnavailableError; a repeat gives the same answer."""
    return await timed_total(_evaluate_loop(deps, call), lambda error: LoopOutcome(error=error))


async def collect_items(deps: ActivityDependencies, call: CollectCall) -> StepOutcome:
    """Make the output `{results, count, completed, failed, skipped}` of a `for_each` step.

    `results` has a place for each item, null where it made nothing. Raises ServiceUnavailableError.
    """
    return await timed_total(_collect(deps, call), lambda error: StepOutcome(status="failed", error=error))


async def _evaluate_loop(deps: ActivityDependencies, call: LoopCall) -> LoopOutcome:
    version = await load_version(deps, call.organization_id, call.playbook_id)
    result = steps.loop_condition(version.step(call.step), await load_context(deps, call))
    return LoopOutcome(holds=result.holds, values=result.values)


async def _collect(deps: ActivityDependencies, call: CollectCall) -> StepOutcome:
    version = await load_version(deps, call.organization_id, call.playbook_id)
    results = {index: await load(deps, call, value) for index, value in call.results.items()}
    output = steps.collected_output(call, results)
    sensitive = version.plan_step(call.step).sensitive_output
    held = await store_if_large(deps, call, OUTPUT_LINES + call.line, output, sensitive)
    return StepOutcome(status="succeeded", output=held)

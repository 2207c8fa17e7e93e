"""The run's output: the playbook's `output` mapping, or the outputs of its final steps, checked by the contract."""

from __future__ import annotations

from activities.dependencies import ActivityDependencies
from activities.failures import timed_total
from activities.payloads import RUN_OUTPUT_LINE, load_context, store_if_large
from activities.versions import load_version
from playbooks.engine.model.temporal_messages import OutputCall, OutputResult
from playbooks.evaluation.steps import run_output


async def make_output(deps: ActivityDependencies, call: OutputCall) -> OutputResult:
    """Make the output, or the error (kind `validation`) with which the run fails.

    Raises ServiceUnavailableError while the database is needed and away. A repeat gives the same answer.
    """
    return await timed_total(_make_output(deps, call), lambda error: OutputResult(error=error))


async def _make_output(deps: ActivityDependencies, call: OutputCall) -> OutputResult:
    version = await load_version(deps, call.organization_id, call.playbook_id)
    value = run_output(version, await load_context(deps, call))
    return OutputResult(output=await store_if_large(deps, call, RUN_OUTPUT_LINE, value, version.plan.sensitive_output))

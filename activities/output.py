"""The run's output: the playbook's `output` mapping, or what its final steps made, checked against the contract."""

from __future__ import annotations

import time

from activities.dependencies import ActivityDependencies
from activities.failures import step_error
from activities.payloads import RUN_OUTPUT_LINE, by_size, load_context
from activities.versions import load_version
from playbooks.common.errors import UnavailableError
from playbooks.common.values import Json, PayloadRef, StepError
from playbooks.engine.model.temporal_messages import OutputCall, OutputResult
from playbooks.evaluation.steps import run_output


async def make_output(deps: ActivityDependencies, call: OutputCall) -> OutputResult:
    """The output, or the error (kind `validation`) with which the run fails.

    Raises ServiceUnavailableError while the database is needed and away. A repeat gives the same answer.
    """
    started = time.perf_counter()
    output: Json | PayloadRef = None
    error: StepError | None = None
    try:
        version = await load_version(deps, call.organization_id, call.playbook_id)
        value = run_output(version, await load_context(deps, call))
        output = await by_size(deps, call, RUN_OUTPUT_LINE, value, version.plan.sensitive_output)
    except UnavailableError:
        raise
    # Total on purpose: a mapping that cannot be evaluated fails the run, not the workflow's task.
    except Exception as caught:
        error = step_error(caught)
    return OutputResult(output=output, error=error, elapsed_ms=round((time.perf_counter() - started) * 1000))

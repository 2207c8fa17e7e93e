"""The run's output: the playbook's `output` mapping, or what its final steps made, checked against the contract."""

from __future__ import annotations

import time
from collections.abc import Mapping

from activities.dependencies import ActivityDependencies
from activities.failures import step_error
from activities.payloads import RUN_OUTPUT_LINE, by_size, load_context
from activities.versions import Version, load_version
from playbooks import contracts, expressions
from playbooks.errors import ContractError, UnavailableError
from playbooks.messages import OutputCall, OutputResult
from playbooks.values import Json, JsonObject, PayloadRef, StepError


async def make_output(deps: ActivityDependencies, call: OutputCall) -> OutputResult:
    """The output, or the error (kind `validation`) with which the run fails.

    Raises ServiceUnavailableError while the database is needed and away. A repeat gives the same answer.
    """
    started = time.perf_counter()
    output: Json | PayloadRef = None
    error: StepError | None = None
    try:
        version = await load_version(deps, call.organization_id, call.playbook_id)
        value = _output_of(version, await load_context(deps, call))
        _check(version, value)
        output = await by_size(deps, call, RUN_OUTPUT_LINE, value, version.plan.sensitive_output)
    except UnavailableError:
        raise
    # Total on purpose: a mapping that cannot be evaluated fails the run, not the workflow's task.
    except Exception as caught:
        error = step_error(caught)
    return OutputResult(output=output, error=error, elapsed_ms=round((time.perf_counter() - started) * 1000))


def _output_of(version: Version, context: JsonObject) -> Json:
    if version.document.output is not None:
        return expressions.resolve(version.document.output, context, "/output")
    steps = context.get("steps")
    made: JsonObject = {}
    for key in version.plan.final_steps:
        facts = steps.get(key) if isinstance(steps, Mapping) else None
        if isinstance(facts, dict) and facts.get("status") == "completed":
            made[key] = facts.get("output")
    return made


def _check(version: Version, value: Json) -> None:
    contract = version.document.output_contract
    problems = contracts.check_value(value, "/output")
    if not problems and contract is not None:
        problems = contracts.validate(contract, value, pointer="/output")
    if problems:
        raise ContractError("the run's output does not satisfy its contract", problems)

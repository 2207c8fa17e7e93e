"""Simulated workers: real evaluation of conditions, inputs, pure handlers and contracts, and a given or generated
result in place of every effect. Nothing leaves the process.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

from playbooks.common import ids
from playbooks.common.errors import Problem, warning
from playbooks.common.json_pointer import transform_at
from playbooks.common.values import Json, JsonObject, PayloadRef, StepError
from playbooks.contracts.generation import CODE, NotGeneratedError, generate
from playbooks.document.handler_catalog import HandlerDescription, describe
from playbooks.engine.model.plan import PlanStep
from playbooks.engine.model.step_ref import StepRef
from playbooks.engine.model.temporal_messages import (
    LoopCall,
    LoopOutcome,
    OutputCall,
    OutputResult,
    StepCall,
    StepOutcome,
)
from playbooks.evaluation import scripted, steps
from playbooks.evaluation.pure import PURE
from playbooks.evaluation.steps import Evaluation, OpenStep, Version
from playbooks.evaluation.work import HandlerCall, HandlerResult, StepFailedError, defect, failed, known_error
from playbooks.simulation.given import Given, GivenAttempt

_LONGEST = timedelta(days=366)

Source: TypeAlias = Literal["evaluated", "scripted", "given", "generated"]
"""Origin of a step's output: its own pure work, the playbook's script, the request, or its contract."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempted:
    """One attempt's outcome, how long it took in simulated time, and what made its output (None: nothing did)."""

    outcome: StepOutcome
    took: timedelta
    source: Source | None


@dataclass(slots=True)
class Workers:
    """Workers of one simulation. `problems` are values that could not be generated, at their places in the document."""

    version: Version
    given: Given
    handlers: Mapping[str, HandlerDescription]
    problems: dict[Problem, None] = field(default_factory=dict[Problem, None])
    used: Counter[str] = field(default_factory=Counter[str])
    _generated: dict[str, Json] = field(default_factory=dict[str, Json])

    def prepare(self, call: StepCall, now: datetime) -> StepOutcome:
        """Evaluate condition and input of a step that is carried elsewhere."""
        step, found = self._open(call), Evaluation()
        try:
            steps.evaluate(call, step, found)
            outcome = steps.prepared(call, step, found, now)
        # Total on purpose, as in a run: whatever a document leads to is the step's failure.
        except Exception as caught:
            outcome = StepOutcome(status="failed", error=_step_error(caught))
        return found.report(outcome)

    def attempt(self, call: StepCall) -> Attempted:
        """Make one attempt at a step's work, as a worker does, with nothing but the effect replaced."""
        step, found = self._open(call), Evaluation()
        source: Source | None = None
        took = timedelta(0)
        try:
            if call.is_prepared:
                found.input = None if isinstance(call.prepared_input, PayloadRef) else call.prepared_input
            else:
                steps.evaluate(call, step, found)
            if found.skipped is not None:
                outcome = StepOutcome(status="skipped")
            else:
                given = self.take(step.plan.key)
                source, took = self._source(step, given), _time_of(step.plan, given)
                result = self._work(step, steps.handler_call(call, step, found.input), given)
                steps.check_output(step.document, result.output)
                outcome = steps.succeeded(result, result.output)
        except Exception as caught:
            outcome = StepOutcome(status="failed", error=_step_error(caught))
        return Attempted(outcome=found.report(outcome), took=took, source=source)

    def make_output(self, call: OutputCall) -> OutputResult:
        """Return the run's output, or the error with which the run fails."""
        try:
            return OutputResult(output=steps.run_output(self.version, call.context))
        except Exception as caught:
            return OutputResult(error=_step_error(caught))

    def form_of(self, key: str) -> JsonObject | None:
        """Return a form that satisfies a human step's contract; None where none can be generated."""
        contract = self.version.step(key).output_contract
        if contract is None:
            return {}
        try:
            form = self._generate(key, contract)
        except NotGeneratedError:
            return None
        return form if isinstance(form, dict) else None

    def _open(self, call: StepCall) -> OpenStep:
        version = self.version
        return OpenStep(version, version.step(call.step), version.plan_step(call.step), call.context)

    def take(self, key: str) -> GivenAttempt | None:
        """Return the given result of a step's next attempt, of any visit or item; the last one repeats."""
        name = str(StepRef.parse(key).item(None))
        attempts = self.given.attempts.get(name, ())
        self.used[name] += 1
        return attempts[min(self.used[name], len(attempts)) - 1] if attempts else None

    def evaluate_loop(self, call: LoopCall) -> LoopOutcome:
        """Whether a loop goes on."""
        try:
            result = steps.loop_condition(self.version.step(call.step), call.context)
        except Exception as caught:
            return LoopOutcome(error=_step_error(caught))
        return LoopOutcome(holds=result.holds, values=result.values)

    def _source(self, step: OpenStep, given: GivenAttempt | None) -> Source:
        if given is not None:
            return "given"
        if step.handler_name == scripted.PROVIDER and step.plan.step_type == "ai":
            return "scripted"
        return "evaluated" if step.plan.carrier == "pure" and step.handler_name in PURE else "generated"

    def _work(self, step: OpenStep, call: HandlerCall, given: GivenAttempt | None) -> HandlerResult:
        """Return the handler's simulated result. Raises what the handler would raise."""
        if given is not None:
            return _as_given(step.plan, call, given)
        match self._source(step, given):
            case "scripted":
                return scripted.answer(call)
            case "evaluated":
                return PURE[step.handler_name](call)
            case _:
                return self._make_up(step, call)

    def _make_up(self, step: OpenStep, call: HandlerCall) -> HandlerResult:
        described = describe(step.plan.worker_type, step.plan.step_type, self.handlers, provider=step.handler_name)
        if described is not None:
            # A handler resolves its settings before it acts, so a missing path fails the attempt as in a run.
            transform_at(call.config, described.templates, call.resolve)
        child = step.plan.child
        if child is not None and not child.waits:
            return HandlerResult(output={"execution_id": _child_of(call), "status": "started"})
        contract = step.document.output_contract
        if contract is not None:
            try:
                return _labelled(step.plan, self._generate(step.plan.key, contract))
            except NotGeneratedError as error:
                raise failed("system", CODE, error.detail, pointer=error.problems[0].pointer) from None
        if step.handler_name == "notification_sender":
            return HandlerResult(output={"status": "undelivered", "key": call.effect_key})
        message = f"step '{step.plan.name}' has no output_contract, so its output is simulated as {{}}"
        hint = "give its result in the request, or write an output_contract"
        self.problems[warning(self._place(step.plan.key), "NO_CONTRACT", message, hint)] = None
        if child is not None:
            return HandlerResult(output={"execution_id": _child_of(call), "status": "completed", "output": {}})
        return _labelled(step.plan, {})

    def _generate(self, key: str, contract: JsonObject) -> Json:
        """Generate a value of the contract, once per simulation. Raises NotGeneratedError, which is recorded."""
        if key not in self._generated:
            try:
                self._generated[key] = generate(contract, f"{self._place(key)}/output_contract")
            except NotGeneratedError as error:
                self.problems |= dict.fromkeys(error.problems)
                raise
        return self._generated[key]

    def _place(self, key: str) -> str:
        """Return the step's JSON Pointer in the document."""
        number = self.version.plan_step(key).number
        numbers = [step.step_number for step in self.version.document.steps]
        return f"/steps/{numbers.index(number)}"


def _child_of(call: HandlerCall) -> str:
    """Return the id of the run that the step would start."""
    return str(ids.child_execution_id(call.organization_id, call.effect_key))


def _as_given(plan: PlanStep, call: HandlerCall, given: GivenAttempt) -> HandlerResult:
    if given.duration is not None and given.duration > _limit(plan):
        raise TimeoutError
    if given.error is not None:
        raise StepFailedError(given.error)
    if plan.step_type != "ai":
        return HandlerResult(output=given.output, cost=given.cost)
    result = scripted.apply_threshold(call.config, given.output, given.confidence, "given")
    return HandlerResult(
        output=result.output,
        cost=given.cost,
        confidence=result.confidence,
        confidence_source=result.confidence_source,
        needs_review=result.needs_review,
    )


def _labelled(plan: PlanStep, output: Json) -> HandlerResult:
    """Return a generated output; an AI's is labelled and has a confidence above every threshold."""
    if plan.step_type != "ai":
        return HandlerResult(output=output)
    return HandlerResult(output=output, confidence=1.0, confidence_source="generated")


def _time_of(plan: PlanStep, given: GivenAttempt | None) -> timedelta:
    """Return the duration of an attempt: as given, at most its timeout; else the author's estimate."""
    limit = _limit(plan)
    if given is not None and given.duration is not None:
        return min(given.duration, limit)
    if given is not None and given.error is not None and given.error.kind == "timeout":
        return limit
    return timedelta(minutes=plan.estimated_minutes or 0.0)


def _limit(plan: PlanStep) -> timedelta:
    """Return the timeout of an attempt; a step that waits for a run has only the author's timeout."""
    if plan.child is None or not plan.child.waits:
        return timedelta(seconds=plan.timeout_seconds)
    return _LONGEST if plan.child.timeout_seconds is None else timedelta(seconds=plan.child.timeout_seconds)


def _step_error(error: Exception) -> StepError:
    return known_error(error) or defect(error)

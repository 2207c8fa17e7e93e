"""The pure part of one attempt at a step, and a run's output.

The order is here: condition, input, input contract, work, output contract. Equal arguments give equal results;
failures are raised.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from playbooks.common.errors import ContractError, Problem, ValidationError
from playbooks.common.json_pointer import covers, from_parts, parts, without
from playbooks.common.values import Json, JsonObject, PayloadRef
from playbooks.contracts import validation
from playbooks.document.model import MAX_ITEMS, PlaybookDocument, StepDocument
from playbooks.document.undo import undo_document
from playbooks.engine.model.control_messages import CompleteStep, ControlMessage, Decide, Signal, body_of
from playbooks.engine.model.plan import Plan, PlanStep
from playbooks.engine.model.step_ref import StepRef
from playbooks.engine.model.temporal_messages import CheckCall, CollectCall, StepCall, StepOutcome
from playbooks.engine.model.wait_outputs import signal_output
from playbooks.evaluation.conditions import skip_of
from playbooks.evaluation.inputs import resolve_input
from playbooks.evaluation.timing import due_of
from playbooks.evaluation.work import HandlerCall, HandlerResult
from playbooks.expressions import cel


@dataclass(frozen=True, slots=True)
class Version:
    """A version's document and plan; steps are looked up by key in both."""

    document: PlaybookDocument
    plan: Plan

    def step(self, key: str) -> StepDocument:
        """Return the step or compensation as its author wrote it. KeyError where there is none."""
        number, is_undo = self.plan.step(key).number, StepRef.parse(key).is_undo
        for step in self.document.steps:
            if step.step_number == number:
                return undo_document(step, step.compensation) if is_undo and step.compensation else step
        raise KeyError(key)

    def plan_step(self, key: str) -> PlanStep:
        """Return the compiled step. KeyError where there is none."""
        return self.plan.step(key)


@dataclass(frozen=True, slots=True)
class OpenStep:
    """A step as one attempt needs it: its document, its compiled form, and the run's context."""

    version: Version
    document: StepDocument
    plan: PlanStep
    context: JsonObject

    @property
    def handler_name(self) -> str:
        """Return the name of the step's handler: the provider for an AI step."""
        if self.plan.step_type == "ai":
            return str((self.document.config or {}).get("provider"))
        return self.plan.worker_type


@dataclass(slots=True)
class Evaluation:
    """How far the evaluation of a step came; it is reported also where it failed half-way.

    `skipped` is the reason for skipping the step, `values` what its conditions read, `items` what a loop iterates over.
    """

    skipped: str | None = None
    values: JsonObject = field(default_factory=dict[str, Json])
    input: Json = None
    has_input: bool = False
    items: list[Json] | None = None

    def report(self, outcome: StepOutcome) -> StepOutcome:
        """Return an attempt's outcome with what was evaluated before it."""
        return replace(outcome, input=self.input, values=self.values, reason=self.skipped)


def evaluate(call: StepCall, step: OpenStep, found: Evaluation) -> None:
    """Fill `found` with the step's conditions, and then with its items where it opens a loop, else its checked input.

    Raises MappingError, and ContractError where the input does not satisfy its contract (it is in `found` then).
    """
    found.skipped, found.values = skip_of(step.version.plan, step.document, step.context)
    if found.skipped is not None:
        return
    if call.opens_loop:
        found.items = items_of(step)
        return
    value = resolve_input(step.version.plan, step.plan, step.document, step.context)
    _refuse(validation.check_value(value, "/input"), "the step's input holds something that cannot be stored")
    found.input, found.has_input = value, True
    if step.document.input_contract is not None:
        problems = validation.violations(step.document.input_contract, value, pointer="/input")
        _refuse(problems, "the step's input does not satisfy its contract")


def prepared(call: StepCall, step: OpenStep, found: Evaluation, now: datetime) -> StepOutcome:
    """Return the outcome of a preparation: `ready`, with the instant until which the step waits, or `skipped`.

    Raises StepFailedError, MappingError for a wait without a usable duration or instant.
    """
    if found.skipped is not None:
        return StepOutcome(status="skipped")
    if found.items is not None:
        return StepOutcome(status="ready", items=found.items, item_count=len(found.items))
    due = due_of(handler_call(call, step, found.input), step.plan.carrier, now)
    return StepOutcome(status="ready", wait_until=due)


def succeeded(result: HandlerResult, output: Json | PayloadRef) -> StepOutcome:
    """Return the outcome of an attempt whose output was checked; `output` is it, or where it is stored."""
    return StepOutcome(
        status="succeeded",
        output=output,
        cost=result.cost,
        confidence=result.confidence,
        confidence_source=result.confidence_source,
        needs_review=result.needs_review,
    )


def items_of(step: OpenStep) -> list[Json]:
    """Return the items of a `for_each`. Raises MappingError, ContractError where they are no list, or too many."""
    given = step.document.for_each.items if step.document.for_each is not None else []
    found = cel.resolve(given, step.context, "/for_each/items")
    if not isinstance(found, list):
        message = "for_each needs a list"
        raise ContractError(message, (Problem(pointer="/for_each/items", code="WRONG_TYPE", message=message),))
    if len(found) > MAX_ITEMS:
        message = f"for_each goes over at most {MAX_ITEMS} items, not {len(found)}"
        raise ContractError(message, (Problem(pointer="/for_each/items", code="TOO_LARGE", message=message),))
    _refuse(validation.check_value(found, "/for_each/items"), "the items hold something that cannot be stored")
    return found


def loop_condition(document: StepDocument, context: JsonObject) -> cel.ConditionResult:
    """Evaluate a loop's condition: `complete_when` where the context has the loop's counts, else `while`."""
    loop = context.get("loop")
    if isinstance(loop, dict) and document.for_each is not None:
        return cel.evaluate_condition(document.for_each.complete_when, loop)
    return cel.evaluate_condition(document.repeat.while_ if document.repeat is not None else None, context)


def collected_output(call: CollectCall, results: Mapping[str, Json]) -> JsonObject:
    """Return the output of a `for_each` step: a place in `results` for each item, null for one without output."""
    places: list[Json] = [None] * call.count
    for index, value in results.items():
        places[int(index)] = value
    counts: JsonObject = {"completed": call.completed, "failed": call.failed, "skipped": call.skipped}
    return {"results": places, "count": call.count, **counts}


def check_output(document: StepDocument, output: Json) -> None:
    """Raise ContractError where a handler's output does not satisfy the step's contract."""
    _refuse(validation.check_value(output, "/output"), "the step's output holds something that cannot be stored")
    # A human step's contract describes its form; no handler makes its output.
    if document.output_contract is not None:
        problems = validation.violations(document.output_contract, output, pointer="/output")
        _refuse(problems, "the step's output does not satisfy its contract")


def check_output_by_hand(document: StepDocument, key: str, output: Json) -> None:
    """Raise ContractError where an output that a person gives does not fit the step or item `key`."""
    if document.for_each is None or StepRef.parse(key).index is not None:
        check_output(document, output)
        return
    _refuse(validation.check_value(output, "/output"), "the output holds something that cannot be stored")
    results = output.get("results") if isinstance(output, dict) else None
    if not isinstance(results, list):
        message = "a for_each step gives {results: [...]}"
        raise ContractError(message, (Problem(pointer="/output/results", code="WRONG_TYPE", message=message),))
    for index, result in enumerate(results):
        # null means an item without output. The contract is that of an item.
        if document.output_contract is not None and result is not None:
            problems = validation.violations(document.output_contract, result, pointer=f"/output/results/{index}")
            _refuse(problems, "an item's output does not satisfy the step's contract")


def check_content(version: Version, call: CheckCall, at: datetime) -> None:
    """Raise ContractError where a form, an output or a signal does not satisfy the contract that `call` names.

    `at` is when the message came, or a time near it.
    """
    match call.message.action:
        case Decide(data=data) if call.checks_form and call.step is not None:
            check_form(version.step(call.step), data or {})
        case CompleteStep(output=output) if call.checks_output and call.step is not None:
            check_output_by_hand(version.step(call.step), call.step, output)
        case Signal(name=name, payload=payload):
            check_signal(version, call.signal_steps, signal_output(name, payload, at))
        case _:
            pass


def check_form(document: StepDocument, data: JsonObject) -> None:
    """Raise ContractError where the form of a decision does not satisfy the step's contract."""
    if document.output_contract is not None:
        problems = validation.validate(document.output_contract, data, pointer="/data")
        _refuse(problems, "the form does not satisfy the step's contract")


def check_message(message: ControlMessage) -> None:
    """Raise ValidationError where a message has values that cannot be stored."""
    problems = [*validation.check_value(body_of(message.action)), *validation.check_value(message.actor)]
    if problems:
        raise ValidationError("the message holds text that cannot be stored", problems)


def check_signal(version: Version, keys: Sequence[str], output: Json) -> None:
    """Raise ContractError where one of these steps may not end with what a signal gives it."""
    for key in keys:
        contract = version.step(key).output_contract
        if contract is not None:
            problems = validation.validate(contract, output)
            _refuse(problems, f"step '{key}' waits for this signal, and its output contract refuses it")


def run_output(version: Version, context: JsonObject) -> Json:
    """Return the run's output: the playbook's `output` mapping, or its final steps' outputs.

    Raises MappingError, and ContractError where it does not satisfy the playbook's contract.
    """
    value = _output_of(version, context)
    contract = version.document.output_contract
    problems = validation.check_value(value, "/output")
    if not problems and contract is not None:
        problems = validation.validate(contract, value, pointer="/output")
    _refuse(problems, "the run's output does not satisfy its contract")
    return value


def handler_call(call: StepCall, step: OpenStep, value: Json) -> HandlerCall:
    """Return the call of the step's handler; `value` is the step's input."""
    return HandlerCall(
        organization_id=call.organization_id,
        execution_id=call.execution_id,
        playbook_id=call.playbook_id,
        step=call.step,
        attempt=call.attempt,
        effect_key=call.effect_key,
        timeout_seconds=step.plan.timeout_seconds,
        config=step.document.config or {},
        input=value,
        context=step.context,
        input_contract=step.document.input_contract,
        output_contract=step.document.output_contract,
        visit=call.visit,
    )


def child_output(step: StepDocument, plan: PlanStep, child: UUID, output: Json, sensitive: Sequence[str]) -> JsonObject:
    """Return the output of a step that waited for a run: `{execution_id, status, output}`.

    The `sensitive` parts of the run's output (JSON Pointers) are copied only where the step's own contract marks them
    too: elsewhere they would be stored unsealed. Raises ContractError where it does not satisfy the step's contract.
    """
    marked = [parts(pointer) for pointer in plan.sensitive_output]
    places = [("output", *parts(pointer)) for pointer in sensitive]
    hidden = [from_parts(place[1:]) for place in places if not any(covers(mark, place) for mark in marked)]
    made: JsonObject = {"execution_id": str(child), "status": "completed", "output": without(output, hidden)}
    check_output(step, made)
    return made


def _output_of(version: Version, context: JsonObject) -> Json:
    if version.document.output is not None:
        return cel.resolve(version.document.output, context, "/output")
    steps = context.get("steps")
    made: JsonObject = {}
    for key in version.plan.final_steps:
        facts = steps.get(key) if isinstance(steps, Mapping) else None
        if isinstance(facts, dict) and facts.get("status") == "completed":
            made[key] = facts.get("output")
    return made


def _refuse(problems: tuple[Problem, ...], message: str) -> None:
    if problems:
        raise ContractError(message, problems)

"""Compiles a playbook document into the plan that its runs carry.

The order is resolved, references are checked, defaults are filled in. A plan exists only where there is no error, and
equal documents make equal plans.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from decimal import Decimal
from typing import TypeVar
from uuid import UUID

from playbooks.common import smart_codes
from playbooks.common.errors import Problem, error
from playbooks.common.ids import step_entity_id
from playbooks.compiler import control_flow, references, sensitivity, step_rules
from playbooks.compiler.checks import all_checks
from playbooks.compiler.order import LocatedStep, StepOrder, resolve_order
from playbooks.compiler.references import References
from playbooks.document.handler_catalog import HandlerDescription, describe
from playbooks.document.model import ApprovalDocument, BudgetDocument, PlaybookDocument
from playbooks.engine.model.plan import (
    DEFAULT_TIMEOUT_SECONDS,
    ApprovalPlan,
    BudgetPlan,
    Carrier,
    Plan,
    PlanStep,
)
from playbooks.engine.model.step_ref import StepRef

_Value = TypeVar("_Value")

_WAITING: dict[str, Carrier] = {"timer": "timer", "signal_wait": "signal", "sub_playbook": "child"}
"""Handlers that wait instead of working."""

MAX_PLAN_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledPlaybook:
    """`plan` is None where `problems` holds an error; warnings leave it."""

    plan: Plan | None
    problems: tuple[Problem, ...]

    @property
    def errors(self) -> tuple[Problem, ...]:
        return tuple(item for item in self.problems if item.severity == "error")

    @property
    def warnings(self) -> tuple[Problem, ...]:
        return tuple(item for item in self.problems if item.severity == "warning")


def compile_playbook(
    document: PlaybookDocument,
    *,
    playbook_id: UUID,
    version: int,
    handlers: Mapping[str, HandlerDescription] | None = None,
) -> CompiledPlaybook:
    """Compile a version: its plan, with all errors and warnings of its document. Never raises.

    `playbook_id` is the version's id; `handlers` are those of installed packages, by name.
    """
    order = resolve_order(document)
    work = _Compilation(document, playbook_id, version, order, _handlers(order, handlers))
    problems = [*step_rules.document_problems(document), *order.problems]
    currency = step_rules.currency_of(document)
    for item in order.located:
        handler = work.handlers[item.key]
        problems += step_rules.step_problems(item, handler, order, currency)
        problems += control_flow.flow_problems(item, order)
        problems += _read(work, item, handler).problems
    for _, undo, undo_order in _compensations(order):
        handler = work.handlers[undo.key]
        problems += step_rules.work_problems(undo, handler)
        problems += _read(work, undo, handler, undo_order).problems
    work.output = references.output_references(document, order)
    problems += work.output.problems
    problems += references.concurrency_references(document, order).problems
    problems += all_checks.problems(document, order, work.handlers, problems)
    if any(item.severity == "error" for item in problems):
        return CompiledPlaybook(plan=None, problems=_unique(problems))
    plan = _plan(work)
    size = len(json.dumps(asdict(plan), default=str))
    if size > MAX_PLAN_BYTES:
        problems.append(error("", "PLAN_TOO_LARGE", f"the compiled playbook has {size} bytes, of {MAX_PLAN_BYTES}"))
        return CompiledPlaybook(plan=None, problems=_unique(problems))
    return CompiledPlaybook(plan=plan, problems=_unique(problems))


@dataclass(slots=True)
class _Compilation:
    """State of one compilation: its arguments and its findings so far."""

    document: PlaybookDocument
    playbook_id: UUID
    version: int
    order: StepOrder
    handlers: Mapping[str, HandlerDescription | None]
    reads: dict[str, References] = field(default_factory=dict[str, References])
    output: References = field(default_factory=References)


def _handlers(order: StepOrder, extra: Mapping[str, HandlerDescription] | None) -> dict[str, HandlerDescription | None]:
    return {
        item.key: describe(item.step.worker_type, item.step.step_type, extra, provider=step_rules.provider_of(item))
        for item in (*order.located, *(undo for _, undo, _ in _compensations(order)))
    }


def _compensations(order: StepOrder) -> Iterator[tuple[LocatedStep, LocatedStep, StepOrder]]:
    """Yield each step that can be undone, the step that undoes it, and the order for checking the latter's references:
    it runs after the step, and reads one visit of it, or one item of a `for_each` step."""
    for item in order.located:
        undo = control_flow.located_undo(item)
        if undo is not None:
            before = order.upstream[item.key] | {item.key}
            one = item.step.model_copy(update={"for_each": None})
            steps = {**order.steps, item.key: one}
            yield item, undo, replace(order, upstream={**order.upstream, undo.key: before}, steps=steps)


def _read(
    work: _Compilation, item: LocatedStep, handler: HandlerDescription | None, order: StepOrder | None = None
) -> References:
    order = order or work.order
    found = references.step_references(work.document, order, item)
    if handler is not None:
        configured = references.config_references(work.document, order, item, handler)
        found.paths.extend(configured.paths)
        found.problems.extend(configured.problems)
    work.reads[item.key] = found
    return found


def _unique(problems: list[Problem]) -> tuple[Problem, ...]:
    return tuple(dict.fromkeys(problems))


def _plan(work: _Compilation) -> Plan:
    document, order = work.document, work.order
    marks = sensitivity.Sensitivity(sensitivity.marks_of(document.input_contract))
    steps: list[PlanStep] = []
    for item in order.located:
        has_votes = item.step.step_type == "human" or step_rules.needs_review(item)
        marks.mark_step(item, order.edges.get(item.key, ()), has_votes=has_votes)
        steps.append(_step(work, item, marks))
    compensations: list[PlanStep] = []
    for item, undo, _ in _compensations(order):
        marks.mark_undoing(undo, item)
        compensations.append(_compensation(work, undo, marks))
    policies = document.policies
    minutes = policies.timeout_minutes if policies else None
    made = sensitivity.run_output(marks, document.output, document.output_contract, order.final_steps)
    return Plan(
        playbook_id=work.playbook_id,
        code=document.code,
        name=document.name,
        industry=document.industry,
        version=work.version,
        currency=step_rules.currency_of(document),
        run_smart_code=smart_codes.run_code(document.industry, document.code, work.version),
        steps=tuple(steps),
        output_references=work.output.shortest(),
        final_steps=order.final_steps,
        timeout_minutes=float(minutes) if minutes is not None else None,
        budget=_budget(policies.budget if policies else None),
        compensations=tuple(compensations),
        sensitive_input=sensitivity.as_pointers(marks.run_input),
        sensitive_output=sensitivity.as_pointers(made),
    )


def _step(work: _Compilation, item: LocatedStep, marks: sensitivity.Sensitivity) -> PlanStep:
    step = item.step
    edges = work.order.edges.get(item.key, ())
    reviews = step_rules.needs_review(item)
    estimate = step.estimated_duration_minutes
    return replace(
        _work(work, item, item.key, marks),
        dependencies=work.order.dependencies[item.key],
        has_condition=step.condition is not None or any(edge.document.condition is not None for edge in edges),
        loop_references=work.reads[item.key].shortest_of_loop(),
        items_references=work.reads[item.key].shortest_of_items(),
        required_roles=tuple(dict.fromkeys(step.required_roles or ())),
        approval=_approval(item) if step.step_type == "human" or reviews else None,
        review_on_low_confidence=reviews,
        critical=step.on_error.action != "continue" if step.on_error else step.critical is not False,
        on_error=control_flow.on_error_of(item),
        goto=control_flow.goto_of(item, work.order),
        join=control_flow.join_of(item, work.order),
        for_each=control_flow.for_each_of(item, sensitivity.as_pointers(marks.items(item))),
        repeat=control_flow.repeat_of(item),
        signal=control_flow.signal_of(item),
        mutex=control_flow.mutex_of(item),
        cost=_amount(step.cost.unit_amount) if step.cost else Decimal(0),
        estimated_minutes=float(estimate) if estimate is not None else None,
    )


def _compensation(work: _Compilation, undo: LocatedStep, marks: sensitivity.Sensitivity) -> PlanStep:
    """Compile the step that undoes another: free effect or pure work, whose failure does not end the run."""
    return replace(_work(work, undo, StepRef.parse(undo.key).key, marks), critical=False)


def _work(work: _Compilation, item: LocatedStep, key: str, marks: sensitivity.Sensitivity) -> PlanStep:
    """Compile the work of a step or of a compensation; `key` is the step's in both cases."""
    step, policies = item.step, work.document.policies
    return PlanStep(
        key=item.key,
        name=step.name,
        number=step.step_number,
        step_type=step.step_type,
        worker_type=step.worker_type,
        carrier=_carrier(item, work.handlers[item.key]),
        step_id=step_entity_id(work.playbook_id, key),
        smart_code=smart_codes.exec_code(work.document.industry, key, work.version),
        references=work.reads[item.key].shortest(),
        retry=step_rules.retry_policy(policies.retry if policies else None, step.retry),
        own_retry=step.retry is not None,
        timeout_seconds=float(step.timeout_seconds or DEFAULT_TIMEOUT_SECONDS),
        child=control_flow.child_of(item),
        sensitive_input=sensitivity.as_pointers(marks.inputs[item.key]),
        sensitive_output=sensitivity.as_pointers(marks.outputs[item.key]),
    )


def _carrier(item: LocatedStep, handler: HandlerDescription | None) -> Carrier:
    if item.step.step_type == "human":
        return "task"
    if item.step.step_type == "system" and item.step.worker_type in _WAITING:
        return _WAITING[item.step.worker_type]
    return "pure" if handler is not None and handler.is_pure and item.step.step_type == "system" else "effect"


def _approval(item: LocatedStep) -> ApprovalPlan:
    given = item.step.approval or ApprovalDocument()
    threshold = item.step.approval_threshold or 1
    defaults = ApprovalPlan()
    window, on_timeout = given.window_minutes, given.on_timeout
    return ApprovalPlan(
        threshold=threshold,
        max_voters=given.max_voters or threshold,
        consensus=float(given.consensus or 0),
        self_approval=_given(given.self_approval, defaults.self_approval),
        different_from=tuple(dict.fromkeys(given.different_from or ())),
        window_minutes=float(window) if window is not None else None,
        reminder_minutes=tuple(sorted({float(minutes) for minutes in given.reminder_minutes or ()})),
        on_timeout=on_timeout.action if on_timeout else defaults.on_timeout,
        escalate_to_roles=tuple((on_timeout and on_timeout.escalate_to_roles) or ()),
        on_reject=given.on_reject or defaults.on_reject,
        returns=control_flow.returns_of(item),
    )


def _given(value: _Value | None, default: _Value) -> _Value:
    return default if value is None else value


def _budget(budget: BudgetDocument | None) -> BudgetPlan | None:
    if budget is None:
        return None
    return BudgetPlan(max_cost=_amount(budget.max_cost), currency=budget.currency, on_exceed=budget.on_exceed)


def _amount(amount: float) -> Decimal:
    """Convert through the text, so that 0.1 stays a tenth."""
    return Decimal(str(amount))

"""Business rules of one step: contracts, handler and settings, people, budget. No function raises."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

from playbooks.common.errors import Problem, error, warning
from playbooks.common.json_pointer import join, pick
from playbooks.common.values import Json
from playbooks.compiler.order import LocatedStep, StepOrder, closest_step
from playbooks.contracts import validation
from playbooks.document.handler_catalog import BUILT_IN, LATER_HANDLERS, LATER_PROVIDERS, HandlerDescription
from playbooks.document.model import ApprovalDocument, CostDocument, PlaybookDocument, RetryDocument
from playbooks.engine.model.plan import RetryPolicy

RESERVED_FORM_FIELDS = frozenset({"decision", "counts", "approvals", "data", "mean"})
"""Reserved fields: a human step's output has them itself, so a form may not use them."""

MAX_DECIMALS = 4


def document_problems(document: PlaybookDocument) -> Iterator[Problem]:
    """Yield problems outside the steps."""
    if not document.steps:
        yield error("/steps", "NO_STEPS", "a playbook needs at least one step")
    for name, contract in (("input_contract", document.input_contract), ("output_contract", document.output_contract)):
        if contract is not None:
            yield from validation.check_schema(contract, f"/{name}")
    budget = document.policies.budget if document.policies else None
    if budget is not None and _decimals(budget.max_cost) > MAX_DECIMALS:
        yield error("/policies/budget/max_cost", "OUT_OF_RANGE", f"an amount has at most {MAX_DECIMALS} decimals")


def currency_of(document: PlaybookDocument) -> str:
    """Return the one currency of a playbook: its budget's, else the first that a step names, else USD."""
    if document.policies is not None and document.policies.budget is not None:
        return document.policies.budget.currency
    named = (step.cost.currency for step in document.ordered_steps if step.cost is not None)
    return next((currency for currency in named if currency is not None), "USD")


def retry_policy(*layers: RetryDocument | None) -> RetryPolicy:
    """Merge field by field: a later layer over the earlier ones, and those over the defaults."""
    given = {name: value for layer in layers if layer is not None for name, value in layer if value is not None}
    policy = RetryPolicy(**given)
    return replace(policy, backoff_factor=float(policy.backoff_factor), retry_on_errors=tuple(policy.retry_on_errors))


def step_problems(
    item: LocatedStep, handler: HandlerDescription | None, order: StepOrder, currency: str
) -> Iterator[Problem]:
    """Yield the problems of one step. `handler` is None for human steps and where there is none."""
    yield from _contract_problems(item)
    yield from _cost_problems(item.step.cost, f"{item.pointer}/cost", currency)
    yield from _on_error_problems(item)
    if item.step.step_type == "human":
        yield from _human_problems(item, order)
        return
    yield from work_problems(item, handler)
    if needs_review(item):
        yield from _approval_problems(item, order)
        if not item.step.required_roles:
            message = "nobody is named who reviews an answer of low confidence"
            yield warning(f"{item.pointer}/required_roles", "NO_REVIEWERS", message, "name required_roles")
    else:
        for name in ("approval", "approval_threshold"):
            if getattr(item.step, name) is not None:
                message = f"'{name}' is only for steps that people decide"
                yield error(f"{item.pointer}/{name}", "NOT_ALLOWED", message)


def work_problems(item: LocatedStep, handler: HandlerDescription | None) -> Iterator[Problem]:
    """Yield the problems of a step's handler and settings."""
    if handler is None:
        yield _no_handler(item)
    else:
        yield from _config_problems(item, handler)


def needs_review(item: LocatedStep) -> bool:
    """Return true if a person may have to review an AI step's answer."""
    config = item.step.config or {}
    if item.step.step_type != "ai" or config.get("confidence_threshold") is None:
        return False
    return config.get("on_low_confidence", "human_review") == "human_review"


def provider_of(item: LocatedStep) -> str:
    """Return the AI provider that a step names, or an empty text."""
    provider = (item.step.config or {}).get("provider")
    return provider if isinstance(provider, str) else ""


def _contract_problems(item: LocatedStep) -> Iterator[Problem]:
    for name, contract in (
        ("input_contract", item.step.input_contract),
        ("output_contract", item.step.output_contract),
    ):
        if contract is not None:
            yield from validation.check_schema(contract, f"{item.pointer}/{name}")


def _cost_problems(cost: CostDocument | None, pointer: str, currency: str) -> Iterator[Problem]:
    if cost is None:
        return
    if cost.currency not in (None, currency):
        message = f"costs are in {currency} in this playbook, not in {cost.currency}"
        yield error(f"{pointer}/currency", "CURRENCY_MISMATCH", message)
    if _decimals(cost.unit_amount) > MAX_DECIMALS:
        yield error(f"{pointer}/unit_amount", "OUT_OF_RANGE", f"an amount has at most {MAX_DECIMALS} decimals")


def _on_error_problems(item: LocatedStep) -> Iterator[Problem]:
    on_error = item.step.on_error
    if on_error is None:
        return
    place = f"{item.pointer}/on_error"
    if item.step.critical is not None and item.step.critical != (on_error.action != "continue"):
        yield error(place, "CONFLICT", f"'critical' and 'on_error' contradict each other: {on_error.action}")


def _no_handler(item: LocatedStep) -> Problem:
    if item.step.step_type == "ai":
        provider, place = provider_of(item), f"{item.pointer}/config/provider"
        if provider in LATER_PROVIDERS:
            return error(place, "NOT_SUPPORTED", f"the AI provider '{provider}' is not supported yet")
        if not provider:
            return error(place, "REQUIRED", "an AI step needs a provider", "use 'scripted'")
        return error(place, "UNKNOWN_HANDLER", f"there is no AI provider '{provider}'", "use 'scripted'")
    name, place = item.step.worker_type, f"{item.pointer}/worker_type"
    if name in LATER_HANDLERS:
        return error(place, "NOT_SUPPORTED", f"the handler '{name}' is not supported yet")
    if name in BUILT_IN:
        message = f"'{name}' does steps of type {BUILT_IN[name].step_type}, not {item.step.step_type}"
        return error(place, "UNKNOWN_HANDLER", message)
    of_type = [known.name for known in BUILT_IN.values() if known.step_type == item.step.step_type]
    return error(place, "UNKNOWN_HANDLER", f"there is no handler '{name}'", closest_step(name, of_type))


def _config_problems(item: LocatedStep, handler: HandlerDescription) -> Iterator[Problem]:
    place = f"{item.pointer}/config"
    config = item.step.config or {}
    yield from validation.validate(handler.config_schema, config, pointer=place)
    if handler.name == "data_validator":
        schema = config.get("schema")
        if schema is not None:
            yield from validation.check_schema(schema, f"{place}/schema")
        elif item.step.input_contract is None:
            message = "there is nothing to check the input against"
            yield warning(item.pointer, "NOTHING_TO_VALIDATE", message, "give the step an input_contract")
    if handler.name == "rules_engine":
        yield from _rule_name_problems(config.get("rules"), f"{place}/rules")


def _rule_name_problems(rules: Json, place: str) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, rule in enumerate(rules if isinstance(rules, list) else []):
        name = pick(rule, "/name")
        if isinstance(name, str) and name in seen:
            yield error(f"{place}/{index}/name", "DUPLICATE", f"the rule name '{name}' is used twice")
        seen.add(str(name))


def _human_problems(item: LocatedStep, order: StepOrder) -> Iterator[Problem]:
    if not item.step.required_roles:
        message = "a step that people do needs the roles that may do it"
        yield error(f"{item.pointer}/required_roles", "REQUIRED", message)
    if item.step.config:
        yield error(f"{item.pointer}/config", "NOT_ALLOWED", "a step that people do has no handler to configure")
    for name, hint in (("timeout_seconds", "use approval.window_minutes"), ("retry", None)):
        if getattr(item.step, name) is not None:
            yield warning(f"{item.pointer}/{name}", "NO_EFFECT", f"'{name}' has no meaning for people", hint)
    yield from _form_problems(item)
    yield from _approval_problems(item, order)


def _form_problems(item: LocatedStep) -> Iterator[Problem]:
    form, place = item.step.output_contract, f"{item.pointer}/output_contract"
    if form is None:
        return
    if form.get("type", "object") != "object":
        yield error(f"{place}/type", "INVALID_FORM", "a form is an object")
    properties = form.get("properties")
    required = form.get("required")
    named = [*(properties if isinstance(properties, dict) else ()), *(required if isinstance(required, list) else ())]
    for name in dict.fromkeys(str(name) for name in named if name in RESERVED_FORM_FIELDS):
        message = f"'{name}' is a field of the step's own output"
        yield error(join(place, "properties", name), "RESERVED_NAME", message, "give the form's field another name")


def _approval_problems(item: LocatedStep, order: StepOrder) -> Iterator[Problem]:
    approval = item.step.approval or ApprovalDocument()
    place = f"{item.pointer}/approval"
    threshold = item.step.approval_threshold or 1
    if approval.max_voters is not None and approval.max_voters < threshold:
        message = f"{approval.max_voters} voters cannot reach a threshold of {threshold}"
        yield error(f"{place}/max_voters", "QUORUM_IMPOSSIBLE", message)
    yield from _separation_problems(item, approval, order)
    yield from _window_problems(approval, place)


def _separation_problems(item: LocatedStep, approval: ApprovalDocument, order: StepOrder) -> Iterator[Problem]:
    steps = order.steps
    for index, key in enumerate(approval.different_from or []):
        place = f"{item.pointer}/approval/different_from/{index}"
        if key not in steps:
            yield error(place, "UNKNOWN_REFERENCE", f"there is no step '{key}'", closest_step(key, steps))
        elif steps[key].step_type not in ("human", "ai"):
            yield error(place, "INVALID_REFERENCE", f"nobody decides step '{key}'")
        elif key not in order.upstream[item.key]:
            message = f"step '{key}' need not be finished when people decide here"
            yield error(place, "REFERENCE_NOT_UPSTREAM", message, f"make this step depend on '{key}'")


def _window_problems(approval: ApprovalDocument, place: str) -> Iterator[Problem]:
    window, on_timeout = approval.window_minutes, approval.on_timeout
    for index, reminder in enumerate(approval.reminder_minutes or []):
        if window is not None and reminder >= window:
            message = f"a reminder after {reminder} minutes lies outside the window of {window}"
            yield error(f"{place}/reminder_minutes/{index}", "OUT_OF_RANGE", message)
    if on_timeout is None:
        return
    if window is None:
        yield error(f"{place}/window_minutes", "REQUIRED", "on_timeout needs a window")
    if on_timeout.action == "escalate" and not on_timeout.escalate_to_roles:
        yield error(f"{place}/on_timeout/escalate_to_roles", "REQUIRED", "escalation needs the roles that join")
    if on_timeout.action != "escalate" and on_timeout.escalate_to_roles:
        message = f"'{on_timeout.action}' escalates to nobody"
        yield error(f"{place}/on_timeout/escalate_to_roles", "NOT_ALLOWED", message)


def _decimals(amount: float) -> int:
    exponent = Decimal(str(amount)).normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0

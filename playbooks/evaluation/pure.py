"""Handlers without effects: `data_validator`, `data_processor`, `rules_engine`.

They do no I/O: a local activity of an unfinished task is executed again after a crash, and a simulation promises no
effects. Equal calls give equal results.
"""

from __future__ import annotations

from collections.abc import Callable

from playbooks.common.errors import ContractError
from playbooks.common.values import Json, JsonObject
from playbooks.contracts import validation
from playbooks.evaluation.work import HandlerCall, HandlerResult
from playbooks.expressions import cel


def process(call: HandlerCall) -> HandlerResult:
    """Map the input by `config.output`; without it the output is the input. Raises MappingError."""
    mapping = call.config.get("output")
    return HandlerResult(output=call.input if mapping is None else call.resolve(mapping))


def decide_by_rules(call: HandlerCall) -> HandlerResult:
    """Evaluate named CEL rules: `all` must hold, `any` one, or the `first` that holds decides.

    `{passed, decision, failed_rules: [{name, reason}], matched_rules: [name], matched}`. Raises MappingError.

    `first` stops at the rule that holds and names it in `matched` (null where none does).
    """
    decision = str(call.config.get("decision") or "all")
    given = call.config.get("rules")
    rules = [rule for rule in given if isinstance(rule, dict)] if isinstance(given, list) else []
    names = call.names()
    matched: list[Json] = []
    missed: list[Json] = []
    for rule in rules:
        if cel.evaluate_condition(rule.get("when"), names).holds:
            matched.append(rule.get("name"))
            if decision == "first":
                break
        else:
            missed.append({"name": rule.get("name"), "reason": _reason(rule)})
    passed = not missed if decision == "all" else bool(matched)
    return HandlerResult(
        output={
            "passed": passed,
            "decision": decision,
            "failed_rules": missed,
            "matched_rules": matched,
            "matched": matched[0] if matched else None,
        }
    )


def check_data(call: HandlerCall) -> HandlerResult:
    """Validate the input against `config.schema`; the step's `input_contract` was checked before any handler ran.

    `{valid: true, errors: []}`. Raises ContractError (kind `validation`) for an input that does not fit.
    """
    schema = call.config.get("schema")
    if isinstance(schema, dict):
        problems = validation.validate(schema, call.input, pointer="/input")
        if problems:
            raise ContractError("the input does not satisfy the schema", problems)
    return HandlerResult(output={"valid": True, "errors": []})


def _reason(rule: JsonObject) -> str:
    return str(rule.get("reason") or f"rule '{rule.get('name')}' does not hold")


PURE: dict[str, Callable[[HandlerCall], HandlerResult]] = {
    "data_validator": check_data,
    "data_processor": process,
    "rules_engine": decide_by_rules,
}
"""Function of each built-in pure handler, by its name (`timer` waits instead)."""

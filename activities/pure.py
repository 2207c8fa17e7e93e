"""The handlers without effects, run as local activities: `data_validator`, `data_processor`, `rules_engine`.

Must not do I/O of any kind: a local activity of an unfinished workflow task is executed again after a crash. Their work
is in `playbooks/evaluation/pure.py`.
"""

from __future__ import annotations

from activities.handler import HandlerCall, HandlerResult
from playbooks.document.handler_catalog import BUILT_IN
from playbooks.evaluation import pure


class DataProcessorHandler:
    """Makes its output by a mapping over its input."""

    description = BUILT_IN["data_processor"]

    async def run(self, call: HandlerCall) -> HandlerResult:
        """`config.output` resolved; without it the input itself. Raises MappingError."""
        return pure.process(call)


class RulesEngineHandler:
    """Evaluates named CEL rules: `all` must hold, `any` one, or the `first` that holds decides."""

    description = BUILT_IN["rules_engine"]

    async def run(self, call: HandlerCall) -> HandlerResult:
        """`{passed, decision, failed_rules, matched_rules, matched}`. Raises MappingError."""
        return pure.decide_by_rules(call)


class DataValidatorHandler:
    """Checks its input against `config.schema`; the step's `input_contract` was checked before any handler ran."""

    description = BUILT_IN["data_validator"]

    async def run(self, call: HandlerCall) -> HandlerResult:
        """`{valid: true, errors: []}`. Raises ContractError (kind `validation`) for an input that does not fit."""
        return pure.check_data(call)

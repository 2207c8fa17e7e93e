"""Types of the names that a document's expressions read: `input`, `steps`, `run`, and a step's own input.

Invariants: of what a person may overrule by hand (a step's output) only the contract and the kinds count; the output of
a handler that is not known here may be anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import get_args

from playbooks.common.values import FINISHED_STEP, Priority, StepStatus
from playbooks.compiler.order import LocatedStep, StepOrder
from playbooks.document.model import PlaybookDocument, StepDocument
from playbooks.engine.model.state import TaskDecision
from playbooks.inference import from_schema, mappings, operations
from playbooks.inference.environment import Names
from playbooks.inference.value_types import ANY, BOOL, TEXT, ValueType, kinds, meet, of_kind, one_of, only_kinds

OBJECT = of_kind("map")
_LIST = of_kind("list")


def _object(**fields: ValueType) -> ValueType:
    return replace(OBJECT, fields=fields)


RUN = _object(
    id=TEXT,
    priority=one_of(get_args(Priority)),
    initiated_by=TEXT,
    started_at=of_kind("string", "null"),
    cost=of_kind("double"),
)

_COUNTS = _object(**dict.fromkeys(("approve", "reject", "abstain", "request_changes"), of_kind("int", "double")))

DECIDED = _object(decision=one_of(get_args(TaskDecision)), counts=_COUNTS, approvals=_LIST, data=OBJECT, mean=OBJECT)
"""The output of a step that people decide, beside the fields of its form."""

_HANDLER_OUTPUTS: dict[str, ValueType] = {
    "rules_engine": _object(
        passed=BOOL,
        decision=one_of(("all", "any", "first")),
        failed_rules=_LIST,
        matched_rules=_LIST,
        matched=of_kind("string", "null"),
    ),
    "data_validator": _object(valid=BOOL, errors=_LIST),
    "timer": _object(fired_at=TEXT),
    "signal_wait": _object(
        signal=of_kind("string", "null"),
        payload=ANY,
        received_at=of_kind("string", "null"),
        timed_out=BOOL,
    ),
}

_CHILD_OUTPUTS: dict[bool, ValueType] = {
    True: _object(execution_id=TEXT, status=one_of(("completed",)), output=ANY),
    False: _object(execution_id=TEXT, status=one_of(("started",))),
}
"""The output of a `sub_playbook` step, by whether it waits."""

_MAPPING_HANDLERS = ("data_processor", "http_request")
"""Handlers whose output is what the mapping `output` in their `config` gives."""

_COUNTS_OF_ITEMS = ("count", "completed", "failed", "skipped")
_WHOLE = ValueType(kinds=kinds("int", "double"), is_whole=True)


@dataclass(slots=True)
class StepTypes:
    """Types of each step's input and output, inferred in order: a step sees those before it."""

    document: PlaybookDocument
    order: StepOrder
    run_input: ValueType = field(init=False)
    _steps: dict[str, ValueType] = field(default_factory=dict[str, ValueType])
    _inputs: dict[str, ValueType] = field(default_factory=dict[str, ValueType])
    _outputs: dict[str, ValueType] = field(default_factory=dict[str, ValueType])
    _items: dict[str, Names] = field(default_factory=dict[str, Names])
    _visits: dict[str, ValueType] = field(default_factory=dict[str, ValueType])

    def __post_init__(self) -> None:
        self.run_input = meet(OBJECT, from_schema.type_of(self.document.input_contract))
        may_begin_early = any(step.join is not None for step in self.document.steps) or _goes_back(self.document)
        for item in self.order.located:
            self._items[item.key] = self._item_names(item.step)
            self._inputs[item.key] = self._own_input(item)
            output = self._visits[item.key] = self._output(item)
            if item.step.for_each is not None:
                output = _object(**dict.fromkeys(_COUNTS_OF_ITEMS, _WHOLE), results=_list_of(_or_null(output)))
            statuses = get_args(StepStatus) if may_begin_early else _statuses(item.step)
            self._steps[item.key] = _object(status=one_of(statuses), output=output)

    def names(self) -> Names:
        """Return the names where `input` is the run's: conditions, input mappings, the playbook's output."""
        return {"input": self.run_input, "steps": replace(OBJECT, fields=self._steps), "run": RUN, "vars": OBJECT}

    def input_names(self, key: str) -> Names:
        """Return the names in a step's `input`; in a `for_each` also `item` and `index`."""
        return {**self.names(), **self._items[key]}

    def config_names(self, key: str) -> Names:
        """Return the names in a step's `config`, where `input` is its own."""
        contract = from_schema.type_of(self.order.steps[key].input_contract)
        return {**self.input_names(key), "input": meet(self._inputs[key], contract)}

    def loop_names(self, key: str) -> Names:
        """Return the names in `for_each.complete_when`."""
        counted = dict.fromkeys(_COUNTS_OF_ITEMS, of_kind("int"))
        return {**counted, "results": _list_of(self._visits[key])}

    def undo_names(self, key: str) -> Names:
        """Return the names where a completed visit of a step (of a `for_each` step: one item) is undone."""
        undone = _object(status=one_of(("completed",)), output=self._visits[key])
        return {**self.names(), "steps": replace(OBJECT, fields={**self._steps, key: undone})}

    def own_input(self, key: str) -> ValueType:
        """Return the type of a step's resolved input, before its contract is applied."""
        return self._inputs[key]

    def mapped_output(self, key: str) -> ValueType:
        """Return the type of the mapping `output` in a step's `config`."""
        if key not in self._outputs:
            output = (self.order.steps[key].config or {}).get("output")
            names = self.config_names(key)
            self._outputs[key] = ANY if output is None else mappings.mapping(output, "", names).type
        return self._outputs[key]

    def _own_input(self, item: LocatedStep) -> ValueType:
        step, names = item.step, self.input_names(item.key)
        brought: dict[str, ValueType] = {}
        has_whole_outputs = False
        for edge in self.order.edges.get(item.key, ()):
            if edge.document.dependency_type != "data":
                continue
            if edge.document.mapping is None:
                has_whole_outputs = True
            else:
                brought |= mappings.mapping(edge.document.mapping, "", names).type.fields or {}
        if step.input is not None:
            mapped = mappings.mapping(step.input, "", names).type
            return mapped if not brought else _over(mapped, brought)
        return OBJECT if has_whole_outputs else replace(self.run_input, fields=brought or None)

    def _item_names(self, step: StepDocument) -> Names:
        if step.for_each is None:
            return {}
        items = mappings.mapping(step.for_each.items, "", self.names()).type
        return {"item": operations.element(items), "index": of_kind("int")}

    def _output(self, item: LocatedStep) -> ValueType:
        """Return the type of one visit's output; of a `for_each` step, of one item's."""
        step = item.step
        contract = from_schema.type_of(step.output_contract)
        if step.step_type == "human":
            # The contract is the form, whose fields stand beside the step's own; nobody has to have filled it in.
            return replace(DECIDED, contracts=contract.contracts)
        if step.step_type == "ai":
            return contract
        return meet(self._handler_output(item), contract)

    def _handler_output(self, item: LocatedStep) -> ValueType:
        name, config = item.step.worker_type, item.step.config or {}
        if name == "sub_playbook":
            return _CHILD_OUTPUTS[config.get("mode") != "detach"]
        if name not in _MAPPING_HANDLERS:
            return _HANDLER_OUTPUTS.get(name, ANY)
        if "output" not in config:
            return only_kinds(self._inputs[item.key]) if name == "data_processor" else ANY
        return only_kinds(self.mapped_output(item.key))


def _list_of(element: ValueType) -> ValueType:
    return replace(_LIST, element=element)


def _or_null(value_type: ValueType) -> ValueType:
    values = None if value_type.values is None else (*value_type.values, None)
    return replace(value_type, kinds=value_type.kinds | kinds("null"), values=values)


def _over(mapped: ValueType, brought: Mapping[str, ValueType]) -> ValueType:
    """Return an explicit mapping, whose fields replace those that dependencies bring."""
    if mapped.fields is None:
        return OBJECT
    return replace(mapped, fields={**brought, **mapped.fields})


def _statuses(step: StepDocument) -> tuple[str, ...]:
    """Return the statuses of a step when a later one begins: anybody may skip it; failing may end the run."""
    is_critical = step.on_error.action == "fail" if step.on_error is not None else step.critical is not False
    return tuple(sorted(FINISHED_STEP - {"cancelled"} - ({"failed"} if is_critical else set())))


def _goes_back(document: PlaybookDocument) -> bool:
    return any(
        step.repeat is not None
        or (step.on_error is not None and step.on_error.action not in ("fail", "continue"))
        or (step.approval is not None and step.approval.return_to_step is not None)
        for step in document.steps
    )

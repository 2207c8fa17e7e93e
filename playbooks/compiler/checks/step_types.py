"""What is known of the names that a document's expressions read: `input`, `steps`, `run`, and a step's own input.

Owns how contracts, mappings and handlers make the values that later steps see. Must not judge anything. Invariants:
what a person may overrule by hand (a step's output) is known by its contract only; a step of a kind that is not
understood here gives anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import get_args

from playbooks.common.values import FINISHED_STEP, Priority, StepStatus
from playbooks.compiler.order import Order, Placed
from playbooks.document.model import PlaybookDocument, StepDocument
from playbooks.engine.model.state import TaskDecision
from playbooks.inference import from_schema, mappings, operations
from playbooks.inference.infer import Names
from playbooks.inference.value_types import ANYTHING, EITHER, TEXT, Known, kinds, meet, of_kind, one_of, only_kinds

OBJECT = of_kind("map")
_LIST = of_kind("list")


def _object(**fields: Known) -> Known:
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

_MADE: dict[str, Known] = {
    "rules_engine": _object(
        passed=EITHER,
        decision=one_of(("all", "any", "first")),
        failed_rules=_LIST,
        matched_rules=_LIST,
        matched=of_kind("string", "null"),
    ),
    "data_validator": _object(valid=EITHER, errors=_LIST),
    "timer": _object(fired_at=TEXT),
    "signal_wait": _object(
        signal=of_kind("string", "null"),
        payload=ANYTHING,
        received_at=of_kind("string", "null"),
        timed_out=EITHER,
    ),
}

_CHILD: dict[bool, Known] = {
    True: _object(execution_id=TEXT, status=one_of(("completed",)), output=ANYTHING),
    False: _object(execution_id=TEXT, status=one_of(("started",))),
}
"""The output of a `sub_playbook` step, by whether it waits."""

_MAPPED = ("data_processor", "http_request")
"""Handlers whose output is what the mapping `output` in their `config` gives."""

_COUNTED = ("count", "completed", "failed", "skipped")
_WHOLE = Known(kinds=kinds("int", "double"), is_whole=True)


@dataclass(slots=True)
class StepTypes:
    """What is known of each step, in order: asked for a step, it knows of those before it."""

    document: PlaybookDocument
    order: Order
    run_input: Known = field(init=False)
    _steps: dict[str, Known] = field(default_factory=dict[str, Known])
    _inputs: dict[str, Known] = field(default_factory=dict[str, Known])
    _outputs: dict[str, Known] = field(default_factory=dict[str, Known])
    _items: dict[str, Names] = field(default_factory=dict[str, Names])
    _visits: dict[str, Known] = field(default_factory=dict[str, Known])

    def __post_init__(self) -> None:
        self.run_input = meet(OBJECT, from_schema.known_of(self.document.input_contract))
        may_begin_early = any(step.join is not None for step in self.document.steps) or _goes_back(self.document)
        for item in self.order.placed:
            self._items[item.key] = self._item_names(item.step)
            self._inputs[item.key] = self._own_input(item)
            output = self._visits[item.key] = self._output(item)
            if item.step.for_each is not None:
                output = _object(**dict.fromkeys(_COUNTED, _WHOLE), results=_list_of(_or_null(output)))
            statuses = get_args(StepStatus) if may_begin_early else _statuses(item.step)
            self._steps[item.key] = _object(status=one_of(statuses), output=output)

    def names(self) -> Names:
        """The names where `input` is the run's: conditions, dependencies, input mappings, the playbook's output."""
        return {"input": self.run_input, "steps": replace(OBJECT, fields=self._steps), "run": RUN, "vars": OBJECT}

    def input_names(self, key: str) -> Names:
        """The names in a step's `input`; in a `for_each` also `item` and `index`."""
        return {**self.names(), **self._items[key]}

    def config_names(self, key: str) -> Names:
        """The names in a step's `config`, where `input` is its own."""
        contract = from_schema.known_of(self.order.steps[key].input_contract)
        return {**self.input_names(key), "input": meet(self._inputs[key], contract)}

    def loop_names(self, key: str) -> Names:
        """The names in `for_each.complete_when`."""
        counted = dict.fromkeys(_COUNTED, of_kind("int"))
        return {**counted, "results": _list_of(self._visits[key])}

    def undo_names(self, key: str) -> Names:
        """The names where a step's visit is undone: it is completed, and of a `for_each` step it is one item's."""
        undone = _object(status=one_of(("completed",)), output=self._visits[key])
        return {**self.names(), "steps": replace(OBJECT, fields={**self._steps, key: undone})}

    def own_input(self, key: str) -> Known:
        """A step's resolved input, before its contract is applied to it."""
        return self._inputs[key]

    def made(self, key: str) -> Known:
        """What the mapping `output` in a step's `config` gives."""
        if key not in self._outputs:
            output = (self.order.steps[key].config or {}).get("output")
            names = self.config_names(key)
            self._outputs[key] = ANYTHING if output is None else mappings.mapping(output, "", names).known
        return self._outputs[key]

    def _own_input(self, item: Placed) -> Known:
        step, names = item.step, self.input_names(item.key)
        brought: dict[str, Known] = {}
        has_whole_outputs = False
        for edge in self.order.edges.get(item.key, ()):
            if edge.document.dependency_type != "data":
                continue
            if edge.document.mapping is None:
                has_whole_outputs = True
            else:
                brought |= mappings.mapping(edge.document.mapping, "", names).known.fields or {}
        if step.input is not None:
            mapped = mappings.mapping(step.input, "", names).known
            return mapped if not brought else _over(mapped, brought)
        return OBJECT if has_whole_outputs else replace(self.run_input, fields=brought or None)

    def _item_names(self, step: StepDocument) -> Names:
        if step.for_each is None:
            return {}
        items = mappings.mapping(step.for_each.items, "", self.names()).known
        return {"item": operations.element(items), "index": of_kind("int")}

    def _output(self, item: Placed) -> Known:
        """What one visit makes; of a `for_each` step, what one item does."""
        step = item.step
        contract = from_schema.known_of(step.output_contract)
        if step.step_type == "human":
            # The contract is the form, whose fields stand beside the step's own; nobody has to have filled it in.
            return replace(DECIDED, contracts=contract.contracts)
        if step.step_type == "ai":
            return contract
        return meet(self._made(item), contract)

    def _made(self, item: Placed) -> Known:
        name, config = item.step.worker_type, item.step.config or {}
        if name == "sub_playbook":
            return _CHILD[config.get("mode") != "detach"]
        if name not in _MAPPED:
            return _MADE.get(name, ANYTHING)
        if "output" not in config:
            return only_kinds(self._inputs[item.key]) if name == "data_processor" else ANYTHING
        return only_kinds(self.made(item.key))


def _list_of(element: Known) -> Known:
    return replace(_LIST, element=element)


def _or_null(known: Known) -> Known:
    values = None if known.values is None else (*known.values, None)
    return replace(known, kinds=known.kinds | kinds("null"), values=values)


def _over(mapped: Known, brought: Mapping[str, Known]) -> Known:
    """An explicit mapping, laid over what dependencies bring."""
    if mapped.fields is None:
        return OBJECT
    return replace(mapped, fields={**brought, **mapped.fields})


def _statuses(step: StepDocument) -> tuple[str, ...]:
    """What a step's status can be when a step after it begins: anybody may skip it; failing may end the run."""
    is_critical = step.on_error.action == "fail" if step.on_error is not None else step.critical is not False
    return tuple(sorted(FINISHED_STEP - {"cancelled"} - ({"failed"} if is_critical else set())))


def _goes_back(document: PlaybookDocument) -> bool:
    return any(
        step.repeat is not None
        or (step.on_error is not None and step.on_error.action not in ("fail", "continue"))
        or (step.approval is not None and step.approval.return_to_step is not None)
        for step in document.steps
    )

"""Mappings against the contracts that their results have to satisfy.

Invariant: an error is reported only where no run could satisfy the contract: texts with `${...}` are compared by their
kinds only, and keywords that depend on other values are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches

from playbooks.common.errors import Problem, error
from playbooks.common.json_pointer import join, pick
from playbooks.common.values import Json, JsonObject
from playbooks.compiler.checks.step_types import StepTypes
from playbooks.compiler.order import LocatedStep, StepOrder
from playbooks.compiler.references import input_names
from playbooks.contracts import validation
from playbooks.document.model import PlaybookDocument
from playbooks.expressions.templates import texts
from playbooks.inference import from_schema, mappings, operations
from playbooks.inference.value_types import ValueType, describe

_DEPENDENT = frozenset(
    (
        *("anyOf", "oneOf", "not", "if", "then", "else", "dependentRequired", "dependentSchemas"),
        *("contains", "minContains", "maxContains", "unevaluatedProperties", "unevaluatedItems", "uniqueItems"),
        "patternProperties",
    )
)
"""Keywords whose result can depend on a value that is not given yet."""

_SCHEMA_MAPS = ("properties", "$defs")
_FIELD_CODES = ("REQUIRED", "UNKNOWN_FIELD")
_UNDECIDED = ("CANNOT_CHECK", "INVALID_SCHEMA")
MAX_DEPTH = 8


@dataclass(frozen=True, slots=True)
class _Target:
    """A mapping, its type, and the contract that its result has to satisfy."""

    mapping: Json
    type: ValueType
    contract: JsonObject
    pointer: str


def input_problems(
    document: PlaybookDocument, order: StepOrder, item: LocatedStep, types: StepTypes
) -> Iterator[Problem]:
    """Compare a step's input with its `input_contract`, which is a valid one."""
    contract = item.step.input_contract
    if contract is None:
        return
    given = types.own_input(item.key)
    if not isinstance(item.step.input, dict) or _has_mapped_data(order, item):
        yield from _missing(contract, input_names(document, order, item), given, item)
        yield from _kinds(given, contract, contract, f"{item.pointer}/input")
    else:
        yield from _problems(_Target(item.step.input, given, contract, f"{item.pointer}/input"))


def output_problems(item: LocatedStep, types: StepTypes) -> Iterator[Problem]:
    """Compare the output that a `data_processor` makes with the step's `output_contract`."""
    step, mapping = item.step, (item.step.config or {}).get("output")
    if step.step_type == "system" and step.worker_type == "data_processor":
        yield from _made(mapping, types.mapped_output(item.key), step.output_contract, f"{item.pointer}/config/output")


def run_output_problems(document: PlaybookDocument, types: StepTypes) -> Iterator[Problem]:
    """Compare the playbook's output with its `output_contract`."""
    if document.output is not None:
        given = mappings.mapping(document.output, "", types.names()).type
        yield from _made(document.output, given, document.output_contract, "/output")


def _made(mapping: Json, given: ValueType, contract: Json, pointer: str) -> Iterator[Problem]:
    if mapping is not None and isinstance(contract, dict):
        yield from _problems(_Target(mapping, given, contract, pointer))


def _problems(target: _Target) -> Iterator[Problem]:
    """Yield what a mapping can never give to its contract."""
    reported: set[str] = set()
    for found in validation.validate(_independent(target.contract), target.mapping):
        if found.code in _UNDECIDED:
            continue
        if found.code in _FIELD_CODES or not _is_open(pick(target.mapping, found.pointer)):
            reported.add(found.pointer)
            yield _problem(target.pointer + found.pointer, found, target.mapping)
    for found in _kinds(target.type, target.contract, target.contract, ""):
        if not any(found.pointer.startswith(place) for place in reported):
            yield error(target.pointer + found.pointer, found.code, found.message)


def _problem(pointer: str, found: Problem, mapping: Json) -> Problem:
    name = pointer.rpartition("/")[2]
    if found.code == "REQUIRED":
        close = get_close_matches(name, list(mapping) if isinstance(mapping, dict) else [], 1)
        hint = f"is '{close[0]}' meant?" if close else None
        return error(pointer, "MAPPING_INCOMPLETE", f"the contract requires '{name}', which nothing gives", hint)
    return error(pointer, "MAPPING_MISMATCH", f"the contract refuses this: {found.message}", found.suggestion)


def _missing(
    contract: JsonObject, names: frozenset[str] | None, given: ValueType, item: LocatedStep
) -> Iterator[Problem]:
    """Yield required fields that an input which is not written as one mapping cannot have."""
    required = contract.get("required")
    if names is None:
        return
    for name in required if isinstance(required, list) else []:
        if isinstance(name, str) and name not in names and name not in (given.fields or {}):
            message = f"the input contract requires '{name}', which nothing gives"
            yield error(join(item.pointer, "input_contract", "required"), "MAPPING_INCOMPLETE", message)


def _kinds(given: ValueType, part: Json, root: JsonObject, pointer: str, depth: int = 0) -> Iterator[Problem]:
    """Yield places where the kinds given and the kinds required have nothing in common."""
    if depth > MAX_DEPTH or not isinstance(part, dict):
        return
    wanted = from_schema.type_of(part, root)
    if not given.kinds & wanted.kinds:
        if not wanted.is_empty:
            message = f"the contract wants {describe(wanted)}, and this gives {describe(given)}"
            yield error(pointer, "MAPPING_MISMATCH", message)
        return
    properties = part.get("properties")
    for name, inner in properties.items() if isinstance(properties, dict) else ():
        if given.fields is None or name in given.fields:
            yield from _kinds(operations.member(given, name), inner, root, join(pointer, name), depth + 1)


def _has_mapped_data(order: StepOrder, item: LocatedStep) -> bool:
    return any(edge.document.mapping is not None for edge in order.edges.get(item.key, ()))


def _is_open(value: Json) -> bool:
    """Return True where a part of a mapping depends on a run."""
    return any("${" in text for _, text in texts(value))


def _independent(schema: Json) -> Json:
    """Return the contract without the keywords whose result depends on values; never stricter than the whole."""
    if isinstance(schema, list):
        return [_independent(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    kept: JsonObject = {}
    for keyword, value in schema.items():
        if keyword in _DEPENDENT or (keyword == "additionalProperties" and "patternProperties" in schema):
            continue
        if keyword in _SCHEMA_MAPS and isinstance(value, dict):
            kept[keyword] = {name: _independent(part) for name, part in value.items()}
        elif keyword in ("enum", "const", "default", "examples"):
            kept[keyword] = value
        else:
            kept[keyword] = _independent(value)
    return kept

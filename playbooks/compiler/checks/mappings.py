"""Mappings against the contracts that their results have to satisfy.

Owns the comparison of what a mapping makes with what a contract wants. Must not know where mappings stand. Invariant:
an error is told only where no run could satisfy the contract: texts with `${...}` are judged by their kinds only, and
keywords that depend on other values are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches

from playbooks.common.errors import Problem, error
from playbooks.common.json_pointer import join, pick
from playbooks.common.values import Json, JsonObject
from playbooks.compiler.checks.step_types import StepTypes
from playbooks.compiler.order import Order, Placed
from playbooks.compiler.references import input_names
from playbooks.contracts import validation
from playbooks.document.model import PlaybookDocument
from playbooks.expressions.templates import texts
from playbooks.inference import from_schema, mappings, operations
from playbooks.inference.value_types import Known, in_words

_DEPENDENT = frozenset(
    (
        *("anyOf", "oneOf", "not", "if", "then", "else", "dependentRequired", "dependentSchemas"),
        *("contains", "minContains", "maxContains", "unevaluatedProperties", "unevaluatedItems", "uniqueItems"),
        "patternProperties",
    )
)
"""Keywords whose verdict can depend on a value that is not known yet."""

_SCHEMA_MAPS = ("properties", "$defs")
_TOLD_OF_FIELDS = ("REQUIRED", "UNKNOWN_FIELD")
_UNDECIDED = ("CANNOT_CHECK", "INVALID_SCHEMA")
MAX_DEPTH = 8


@dataclass(frozen=True, slots=True)
class _Target:
    """A mapping, what it gives, and the contract that wants something of it."""

    mapping: Json
    known: Known
    contract: JsonObject
    pointer: str


def input_problems(document: PlaybookDocument, order: Order, item: Placed, types: StepTypes) -> Iterator[Problem]:
    """A step's input against its `input_contract`, which is a valid one."""
    contract = item.step.input_contract
    if contract is None:
        return
    known = types.own_input(item.key)
    if not isinstance(item.step.input, dict) or _has_mapped_data(order, item):
        yield from _missing(contract, input_names(document, order, item), known, item)
        yield from _kinds(known, contract, contract, f"{item.pointer}/input")
    else:
        yield from _problems(_Target(item.step.input, known, contract, f"{item.pointer}/input"))


def output_problems(item: Placed, types: StepTypes) -> Iterator[Problem]:
    """The output that a `data_processor` makes, against the step's `output_contract`."""
    step, mapping = item.step, (item.step.config or {}).get("output")
    if step.step_type == "system" and step.worker_type == "data_processor":
        yield from _made(mapping, types.made(item.key), step.output_contract, f"{item.pointer}/config/output")


def run_output_problems(document: PlaybookDocument, types: StepTypes) -> Iterator[Problem]:
    """The playbook's output against its `output_contract`."""
    if document.output is not None:
        known = mappings.mapping(document.output, "", types.names()).known
        yield from _made(document.output, known, document.output_contract, "/output")


def _made(mapping: Json, known: Known, contract: Json, pointer: str) -> Iterator[Problem]:
    if mapping is not None and isinstance(contract, dict):
        yield from _problems(_Target(mapping, known, contract, pointer))


def _problems(target: _Target) -> Iterator[Problem]:
    """What a contract can never get from a mapping."""
    told: set[str] = set()
    for found in validation.validate(_independent(target.contract), target.mapping):
        if found.code in _UNDECIDED:
            continue
        if found.code in _TOLD_OF_FIELDS or not _is_open(pick(target.mapping, found.pointer)):
            told.add(found.pointer)
            yield _problem(target.pointer + found.pointer, found, target.mapping)
    for found in _kinds(target.known, target.contract, target.contract, ""):
        if not any(found.pointer.startswith(place) for place in told):
            yield error(target.pointer + found.pointer, found.code, found.message)


def _problem(pointer: str, found: Problem, mapping: Json) -> Problem:
    name = pointer.rpartition("/")[2]
    if found.code == "REQUIRED":
        given = list(mapping) if isinstance(mapping, dict) else []
        close = get_close_matches(name, given, 1)
        hint = f"is '{close[0]}' meant?" if close else None
        return error(pointer, "MAPPING_INCOMPLETE", f"the contract requires '{name}', which nothing gives", hint)
    return error(pointer, "MAPPING_MISMATCH", f"the contract refuses this: {found.message}", found.suggestion)


def _missing(contract: JsonObject, names: frozenset[str] | None, known: Known, item: Placed) -> Iterator[Problem]:
    """Required fields that an input which is not written as one mapping cannot have."""
    required = contract.get("required")
    if names is None:
        return
    for name in required if isinstance(required, list) else []:
        if isinstance(name, str) and name not in names and name not in (known.fields or {}):
            message = f"the input contract requires '{name}', which nothing gives"
            yield error(join(item.pointer, "input_contract", "required"), "MAPPING_INCOMPLETE", message)


def _kinds(known: Known, part: Json, root: JsonObject, pointer: str, depth: int = 0) -> Iterator[Problem]:
    """Where the kinds of what is given and of what is wanted have nothing in common."""
    if depth > MAX_DEPTH or not isinstance(part, dict):
        return
    wanted = from_schema.known_of(part, root)
    if not known.kinds & wanted.kinds:
        if not wanted.is_impossible:
            message = f"the contract wants {in_words(wanted)}, and this gives {in_words(known)}"
            yield error(pointer, "MAPPING_MISMATCH", message)
        return
    properties = part.get("properties")
    for name, inner in properties.items() if isinstance(properties, dict) else ():
        if known.fields is None or name in known.fields:
            yield from _kinds(operations.member(known, name), inner, root, join(pointer, name), depth + 1)


def _has_mapped_data(order: Order, item: Placed) -> bool:
    return any(edge.document.mapping is not None for edge in order.edges.get(item.key, ()))


def _is_open(value: Json) -> bool:
    """Whether a part of a mapping holds something that only a run can tell."""
    return any("${" in text for _, text in texts(value))


def _independent(schema: Json) -> Json:
    """The contract without the keywords whose verdict depends on values; never stricter than the whole."""
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

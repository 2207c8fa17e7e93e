"""Types of values, read from their contracts (JSON Schema).

Invariants: a keyword that is not read here only makes a type less precise; every walk ends, also where references form
circles or multiply.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

from playbooks.common.values import Json, JsonObject
from playbooks.contracts import schema
from playbooks.inference.value_types import (
    ANY,
    ContractPart,
    Kind,
    ValueType,
    above,
    below,
    join,
    kinds,
    kinds_of,
    meet,
    one_of,
)

MAX_VISITS = 2_000
MAX_DEPTH = 100
"""Limit of parts within parts that are read of one place: circles of references add nothing after that."""

_KINDS: dict[str, frozenset[Kind]] = {
    "null": kinds("null"),
    "boolean": kinds("bool"),
    # A whole number may be written 5.0, which the engine takes for a decimal.
    "integer": kinds("int", "double"),
    "number": kinds("int", "double"),
    "string": kinds("string"),
    "array": kinds("list"),
    "object": kinds("map"),
}


@dataclass(slots=True)
class _Walk:
    """One walk over a contract; `left` limits the work, `depth` counts parts within parts."""

    root: JsonObject
    left: int = MAX_VISITS
    depth: int = 0

    def is_over(self) -> bool:
        self.left -= 1
        return self.left < 0 or self.depth >= MAX_DEPTH


def type_of(contract: Json, root: JsonObject | None = None) -> ValueType:
    """Return the type of a value under a contract (or under a part of one, whose references begin at `root`)."""
    if not isinstance(contract, dict):
        return ANY
    return _part(_Walk(contract if root is None else root), contract)


def member_type(part: ContractPart, name: str) -> ValueType:
    """Return the type of the member `name` of an object under this part."""
    return _place(_Walk(part.root), part.part, lambda walk, node: _member(walk, node, name))


def item_type(part: ContractPart) -> ValueType:
    """Return the type of each item of a list under this part."""
    return _place(_Walk(part.root), part.part, _item)


def _place(walk: _Walk, node: Json, read: Callable[[_Walk, JsonObject], ValueType]) -> ValueType:
    """Return what `read` finds in this part, and in every other part that describes the same place."""
    if walk.is_over() or not isinstance(node, dict):
        return ANY
    walk.depth += 1
    found = read(walk, node)
    for part in _listed(node, "allOf"):
        found = meet(found, _place(walk, part, read))
    for keyword in ("anyOf", "oneOf"):
        branches = _listed(node, keyword)
        if branches:
            found = meet(found, join([_place(walk, part, read) for part in branches]))
    reference = node.get("$ref")
    if isinstance(reference, str):
        found = meet(found, _place(walk, schema.target_of(walk.root, reference), read))
    walk.depth -= 1
    return found


def _own(_walk: _Walk, node: JsonObject) -> ValueType:
    """Return the type that the keywords of one part describe."""
    found = ANY
    named = node.get("type")
    types = [named] if isinstance(named, str) else named
    if isinstance(types, list):
        named_kinds = [_KINDS.get(name, frozenset[Kind]()) for name in types if isinstance(name, str)]
        is_whole = "integer" in types and "number" not in types
        found = ValueType(kinds=frozenset[Kind]().union(*named_kinds), is_whole=is_whole)
    listed = [node["const"]] if "const" in node else node.get("enum")
    if isinstance(listed, list):
        found = meet(found, _one_of(listed))
    low = max(_number(node, "minimum", -math.inf), above(_number(node, "exclusiveMinimum", -math.inf)))
    high = min(_number(node, "maximum", math.inf), below(_number(node, "exclusiveMaximum", math.inf)))
    return meet(found, ValueType(low=low, high=high))


def _one_of(listed: list[Json]) -> ValueType:
    if any(isinstance(value, (list, dict)) for value in listed):
        return ValueType(kinds=frozenset(kind for value in listed for kind in kinds_of(value)))
    return one_of(cast("list[str | int | float | bool | None]", listed))


def _number(node: JsonObject, keyword: str, default: float) -> float:
    value = node.get(keyword)
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else default


def _member(walk: _Walk, node: JsonObject, name: str) -> ValueType:
    properties, additional = node.get("properties"), node.get("additionalProperties")
    if isinstance(properties, dict) and name in properties:
        return _part(walk, properties[name])
    return _part(walk, additional) if "patternProperties" not in node else ANY


def _item(walk: _Walk, node: JsonObject) -> ValueType:
    return ANY if "prefixItems" in node else _part(walk, node.get("items"))


def _part(walk: _Walk, node: Json) -> ValueType:
    if not isinstance(node, dict):
        return ANY
    return replace(_place(walk, node, _own), contracts=(ContractPart(walk.root, node),))


def _listed(node: JsonObject, keyword: str) -> list[Json]:
    found = node.get(keyword)
    return found if isinstance(found, list) else []

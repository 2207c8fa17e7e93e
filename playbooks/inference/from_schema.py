"""What a contract tells of a value: kinds, listed values, bounds, parts.

Owns the reading of JSON Schema for this purpose. Must not import the schema library, nor judge values (`contracts`
does). Invariants: a keyword that is not read here only makes what is known less; every walk ends, also where
references go in circles or multiply.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

from playbooks.common.values import Json, JsonObject
from playbooks.contracts import schema
from playbooks.inference.value_types import (
    ANYTHING,
    Bound,
    ContractPart,
    Kind,
    Known,
    join,
    kinds,
    kinds_of,
    meet,
    one_of,
)

MAX_VISITS = 2_000
MAX_DEPTH = 100
"""So many parts within parts are read of one place: references that go in a circle say no more after that."""

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
    """One question to a contract; `left` bounds the work, `depth` is how far inside it is."""

    root: JsonObject
    left: int = MAX_VISITS
    depth: int = 0

    def spent(self) -> bool:
        self.left -= 1
        return self.left < 0 or self.depth >= MAX_DEPTH


def known_of(contract: Json, root: JsonObject | None = None) -> Known:
    """What is known of a value under a contract (or a part of one, whose references begin at `root`)."""
    if not isinstance(contract, dict):
        return ANYTHING
    whole = contract if root is None else root
    known = _whole(_Walk(whole), contract)
    return replace(known, contracts=(ContractPart(whole, contract),))


def field_of(part: ContractPart, name: str) -> Known:
    """What is known of the member `name` of an object under this part."""
    return _inside(_Walk(part.root), part.part, lambda walk, node: _member(walk, node, name))


def element_of(part: ContractPart) -> Known:
    """What is known of each item of a list under this part."""
    return _inside(_Walk(part.root), part.part, _item)


def _whole(walk: _Walk, node: Json) -> Known:
    return _inside(walk, node, lambda _, part: _own(part))


def _inside(walk: _Walk, node: Json, read: Callable[[_Walk, JsonObject], Known]) -> Known:
    """What `read` says of this part, and of everything that speaks of the same place."""
    if walk.spent() or not isinstance(node, dict):
        return ANYTHING
    walk.depth += 1
    known = read(walk, node)
    for part in _listed(node, "allOf"):
        known = meet(known, _inside(walk, part, read))
    for keyword in ("anyOf", "oneOf"):
        branches = _listed(node, keyword)
        if branches:
            known = meet(known, join([_inside(walk, part, read) for part in branches]))
    reference = node.get("$ref")
    if isinstance(reference, str):
        known = meet(known, _inside(walk, schema.target_of(walk.root, reference), read))
    walk.depth -= 1
    return known


def _own(node: JsonObject) -> Known:
    """What a part says itself."""
    known = ANYTHING
    named = node.get("type")
    types = [named] if isinstance(named, str) else named
    if isinstance(types, list):
        named_kinds = [_KINDS.get(name, frozenset[Kind]()) for name in types if isinstance(name, str)]
        known = Known(
            kinds=frozenset[Kind]().union(*named_kinds), is_whole="integer" in types and "number" not in types
        )
    listed = [node["const"]] if "const" in node else node.get("enum")
    if isinstance(listed, list):
        known = meet(known, _listed_values(listed))
    low, high = _bound(node, "minimum", "exclusiveMinimum", max), _bound(node, "maximum", "exclusiveMaximum", min)
    return meet(known, Known(low=low, high=high))


def _listed_values(listed: list[Json]) -> Known:
    if any(isinstance(value, (list, dict)) for value in listed):
        return Known(kinds=frozenset(kind for value in listed for kind in kinds_of(value)))
    return one_of(cast("list[str | int | float | bool | None]", listed))


def _bound(node: JsonObject, closed: str, opened: str, tighter: Callable[..., Bound]) -> Bound | None:
    found = [
        Bound(value, is_open=keyword == opened)
        for keyword in (closed, opened)
        if isinstance(value := node.get(keyword), (int, float)) and not isinstance(value, bool)
    ]
    return tighter(found, key=_value_of) if found else None


def _value_of(bound: Bound) -> float:
    return bound.value


def _member(walk: _Walk, node: JsonObject, name: str) -> Known:
    properties, additional = node.get("properties"), node.get("additionalProperties")
    if isinstance(properties, dict) and name in properties:
        return _part(walk, properties[name])
    if "patternProperties" not in node and isinstance(additional, dict):
        return _part(walk, additional)
    return ANYTHING


def _item(walk: _Walk, node: JsonObject) -> Known:
    return ANYTHING if "prefixItems" in node else _part(walk, node.get("items"))


def _part(walk: _Walk, node: Json) -> Known:
    if not isinstance(node, dict):
        return ANYTHING
    return replace(_whole(walk, node), contracts=(ContractPart(walk.root, node),))


def _listed(node: JsonObject, keyword: str) -> list[Json]:
    found = node.get(keyword)
    return found if isinstance(found, list) else []

"""Walks over JSON Schemas: references, patterns, sensitive marks. Every walk ends, even where references are cyclic."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from playbooks.common import json_pointer
from playbooks.common.errors import Problem
from playbooks.common.errors import error as problem
from playbooks.common.json_pointer import ANY, join
from playbooks.common.values import Json, JsonObject

SENSITIVE = "x-sensitive"
MAX_VISITS = 10_000

_PatternCheck: TypeAlias = Callable[[str], str | None]

_MAPS = ("properties", "patternProperties", "dependentSchemas", "$defs")
_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
_SINGLES = (
    "additionalProperties",
    "unevaluatedProperties",
    "propertyNames",
    "items",
    "unevaluatedItems",
    "contains",
    "not",
    "if",
    "then",
    "else",
    "contentSchema",
)
_SAME_PLACE = ("allOf", "anyOf", "oneOf")
_SAME_PLACE_SINGLES = ("if", "then", "else", "not")
_ANY_PLACE = ("additionalProperties", "unevaluatedProperties", "items", "unevaluatedItems", "contains")


def problems(schema: JsonObject, pointer: str, pattern_problem: _PatternCheck) -> Iterator[Problem]:
    """Return violations of our own rules in a schema that the library accepts. `pattern_problem` checks a pattern."""
    for place, node in _subschemas(schema, pointer):
        yield from _reference_problems(schema, place, node)
        if not isinstance(node.get(SENSITIVE, False), bool):
            yield problem(join(place, SENSITIVE), "INVALID_SCHEMA", f"{SENSITIVE} has to be true or false")
        pattern = node.get("pattern")
        if isinstance(pattern, str):
            yield from _pattern_problems(join(place, "pattern"), pattern, pattern_problem)
        named = node.get("patternProperties")
        if isinstance(named, dict):
            for pattern in named:
                yield from _pattern_problems(join(place, "patternProperties", pattern), pattern, pattern_problem)
            if "unevaluatedProperties" in node:
                message = "unevaluatedProperties beside patternProperties is not supported"
                yield problem(join(place, "unevaluatedProperties"), "NOT_SUPPORTED", message)


def sensitive_pointers(schema: Json) -> tuple[str, ...]:
    """Return the sorted pointers of sensitive places, without those inside another one."""
    found = set(_sensitive_paths(schema))
    outer = [path for path in found if not any(path[:size] in found for size in range(len(path)))]
    return tuple(sorted(json_pointer.from_parts(path) for path in outer))


def properties_of(schema: Json) -> frozenset[str] | None:
    """Return the names that an object under this schema may have, or None where others are allowed or it is unknown."""
    if not isinstance(schema, dict) or schema.get("additionalProperties") is not False:
        return None
    named = schema.get("properties", {})
    if not isinstance(named, dict) or "patternProperties" in schema:
        return None
    return frozenset(named)


def knows(schema: Json, path: Sequence[str]) -> bool:
    """Return true if a value under this schema may have something at `path`, or the schema leaves it open."""
    for name in path:
        names = properties_of(schema)
        if names is not None and name not in names:
            return False
        schema = json_pointer.pick(schema, join("", "properties", name))
    return True


def _reference_problems(schema: JsonObject, place: str, node: JsonObject) -> Iterator[Problem]:
    for keyword in ("$ref", "$dynamicRef"):
        reference = node.get(keyword)
        if not isinstance(reference, str):
            continue
        if not reference.startswith("#"):
            message = "a contract may refer only to its own parts"
            yield problem(join(place, keyword), "REMOTE_REFERENCE", message, "write it into $defs, and '#/$defs/...'")
        elif not isinstance(target_of(schema, reference), (dict, bool)):
            yield problem(join(place, keyword), "INVALID_SCHEMA", "the contract has no such part")
    if "$id" in node and node is not schema:
        yield problem(join(place, "$id"), "NOT_SUPPORTED", "$id inside a contract is not supported")


def _pattern_problems(place: str, pattern: str, check: _PatternCheck) -> Iterator[Problem]:
    found = check(pattern)
    if found is not None:
        yield problem(place, "UNSUPPORTED_PATTERN", found)


def _subschemas(schema: Json, pointer: str) -> Iterator[tuple[str, JsonObject]]:
    stack = [(pointer, schema)]
    while stack:
        place, node = stack.pop()
        if isinstance(node, dict):
            yield place, node
            stack.extend((join(place, *segments), child) for segments, child in _children(node))


def _children(node: JsonObject) -> Iterator[tuple[tuple[str, ...], Json]]:
    for keyword in _MAPS:
        named = node.get(keyword)
        if isinstance(named, dict):
            yield from (((keyword, name), child) for name, child in named.items())
    for keyword in _LISTS:
        listed = node.get(keyword)
        if isinstance(listed, list):
            yield from (((keyword, str(index)), child) for index, child in enumerate(listed))
    for keyword in _SINGLES:
        if keyword in node:
            yield (keyword,), node[keyword]


def _sensitive_paths(root: Json) -> Iterator[tuple[str, ...]]:
    """Yield sensitive paths. A recursive schema is followed once on each path; one that multiplies is all sensitive."""
    stack: list[tuple[Json, tuple[str, ...], frozenset[str]]] = [(root, (), frozenset())]
    visits = 0
    while stack:
        node, path, followed = stack.pop()
        visits += 1
        if visits > MAX_VISITS:
            yield ()
            return
        if not isinstance(node, dict):
            continue
        if node.get(SENSITIVE) is True:
            yield path
            continue
        stack.extend((child, (*path, *segments), followed) for segments, child in _places(node))
        reference = node.get("$ref", node.get("$dynamicRef"))
        if isinstance(reference, str) and reference not in followed:
            stack.append((target_of(root, reference), path, followed | {reference}))


def _places(node: JsonObject) -> Iterator[tuple[tuple[str, ...], Json]]:
    """Yield each subschema with the place in a value, relative to this one, that it describes."""
    for (keyword, *rest), child in _children(node):
        if keyword in ("properties", "prefixItems"):
            yield (rest[0],), child
        elif keyword == "patternProperties" or keyword in _ANY_PLACE:
            yield (ANY,), child
        elif keyword in _SAME_PLACE or keyword in _SAME_PLACE_SINGLES or keyword == "dependentSchemas":
            yield (), child


def target_of(root: Json, reference: str) -> Json:
    """Return the part of a contract that a local reference names, or None."""
    fragment = reference.removeprefix("#")
    if not fragment or fragment.startswith("/"):
        return json_pointer.pick(root, fragment)
    for _, node in _subschemas(root, ""):
        if fragment in (node.get("$anchor"), node.get("$dynamicAnchor")):
            return node
    return None

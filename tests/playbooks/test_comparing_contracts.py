"""Contracts compared: a reported direction holds for every value."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from playbooks.contracts.compatibility import compare_contracts
from playbooks.contracts.validation import validate

_ANY: dict[str, Any] = {}


def properties(**named: Any) -> dict[str, Any]:
    return {"type": "object", "properties": named}


@pytest.mark.parametrize(
    ("old", "new", "direction", "pointers"),
    [
        (None, {}, "equal", []),
        (None, None, "equal", []),
        ({"type": "object", "title": "A"}, {"type": "object", "description": "B"}, "equal", []),
        ({"enum": [1, "a"]}, {"enum": ["a", 1.0]}, "equal", []),
        ({"format": "hostname"}, {"format": "ipv4"}, "equal", []),
        (None, {"type": "object"}, "tightened", ["/type"]),
        ({"type": "object"}, None, "loosened", ["/type"]),
        ({"type": "integer"}, {"type": "number"}, "loosened", ["/type"]),
        ({"type": "number"}, {"type": ["integer", "null"]}, "mixed", ["/type"]),
        ({"type": "string"}, {"type": "integer"}, "mixed", ["/type"]),
        (_ANY, {"required": ["a"]}, "tightened", ["/required"]),
        ({"required": ["a", "b"]}, {"required": ["b"]}, "loosened", ["/required"]),
        ({"required": ["a"]}, {"required": ["b"]}, "mixed", ["/required", "/required"]),
        (properties(), properties(a={"type": "string"}), "tightened", ["/properties/a/type"]),
        (properties(a=True), properties(), "equal", []),
        (
            {**properties(), "additionalProperties": False},
            {**properties(a={"type": "string"}), "additionalProperties": False},
            "loosened",
            ["/properties/a"],
        ),
        ({**properties(a={}), "additionalProperties": False}, properties(a={}), "loosened", ["/additionalProperties"]),
        (properties(a={"minimum": 1}), properties(a={"exclusiveMinimum": 1}), "tightened", ["/properties/a/minimum"]),
        ({"maximum": 5}, {"maximum": 7, "exclusiveMaximum": 9}, "loosened", ["/maximum"]),
        ({"minLength": 2, "maxLength": 4}, {"minLength": 1, "maxLength": 3}, "mixed", ["/minLength", "/maxLength"]),
        ({"multipleOf": 2}, {"multipleOf": 4}, "tightened", ["/multipleOf"]),
        ({"multipleOf": 4}, {"multipleOf": 6}, "mixed", ["/multipleOf"]),
        ({"multipleOf": 0.1}, {"multipleOf": 0.2}, "unknown", ["/multipleOf"]),
        ({"enum": [1, 2]}, {"const": 2}, "tightened", ["/enum"]),
        ({"const": 2}, {"const": 3}, "mixed", ["/const"]),
        ({"enum": [1]}, {}, "loosened", ["/enum"]),
        ({"items": {"type": "string"}}, {"items": {"type": ["string", "null"]}}, "loosened", ["/items/type"]),
        ({"uniqueItems": True}, {"uniqueItems": False}, "loosened", ["/uniqueItems"]),
        ({"format": "email"}, {"format": "hostname"}, "loosened", ["/format"]),
        ({"format": "email"}, {"format": "uri"}, "unknown", ["/format"]),
        ({"pattern": "a"}, {"pattern": "b"}, "unknown", ["/pattern"]),
        (_ANY, {"anyOf": [{"type": "string"}]}, "tightened", ["/anyOf"]),
        ({"if": _ANY, "then": False}, {"if": _ANY}, "unknown", ["/if"]),
        (_ANY, {"patternProperties": {"a": False}}, "unknown", ["/patternProperties"]),
        (
            {"patternProperties": {"a": False}},
            {"patternProperties": {"a": False}, "properties": {"b": False}},
            "unknown",
            ["/patternProperties"],
        ),
        (
            {"unevaluatedProperties": False},
            {"unevaluatedProperties": False, "allOf": [_ANY]},
            "unknown",
            ["/unevaluatedProperties"],
        ),
        ({"x-colour": 1}, {"x-colour": 2}, "unknown", ["/x-colour"]),
        ({"type": 3}, {"type": "object"}, "unknown", [""]),
        ({"type": "object"}, {"pattern": "(?=a)"}, "unknown", [""]),
        (3, {"type": "object"}, "unknown", [""]),
        ({"not": _ANY}, False, "tightened", [""]),
        (False, _ANY, "loosened", [""]),
    ],
)
def test_direction_is_reported_when_contracts_differ(old: Any, new: Any, direction: str, pointers: list[str]) -> None:
    found = compare_contracts(old, new)
    assert (found.direction, [each.pointer for each in found.findings]) == (direction, pointers)


def test_references_make_it_unknown_when_what_they_lead_to_differs() -> None:
    def referring(target: str, definition: Any, **fields: Any) -> Any:
        return {"$defs": {"a": definition}, "properties": {"x": {"$ref": target}}, **fields}

    same = referring("#/$defs/a", {"type": "string"})
    assert compare_contracts(same, referring("#/$defs/a", {"type": "integer"})).direction == "unknown"
    assert compare_contracts(same, referring("#/$defs/a", {"type": "string"}, title="T")).direction == "equal"
    wider = compare_contracts(same, referring("#/$defs/a", {"type": "string"}, required=["x"]))
    assert wider.direction == "tightened"
    inner: Any = {"properties": {"a": {"type": "string"}, "b": {"not": {"$ref": "#/properties/a"}}}}
    outer: Any = {"properties": {**inner["properties"], "a": {"type": ["string", "null"]}}}
    assert compare_contracts(inner, outer).direction == "unknown"


def test_changed_marks_are_reported() -> None:
    found = compare_contracts(properties(a={"x-sensitive": True}, b={}), properties(a={}, b={"x-sensitive": True}))
    assert (found.direction, found.now_sensitive, found.no_longer_sensitive) == ("equal", ("/b",), ("/a",))
    assert not found.is_equal


# Few enough to try them all, and made of the same parts as the schemas.
_SCALARS: list[Any] = [None, True, 0, 1, 2, -1, 0.5, "", "a", "ab", "b"]
_SMALL: list[Any] = [None, 1, "a", "ab"]
_LISTS = [[], *([x] for x in _SMALL), *([x, y] for x in _SMALL for y in _SMALL), [1, 1, "a"]]
_OBJECTS = [
    {name: value for name, value in (("a", x), ("b", y), ("c", z)) if value != "-"}
    for x in ("-", 1, "a", "ab", None)
    for y in ("-", 1, "a")
    for z in ("-", 2)
]
_TRIED = [*_SCALARS, *_LISTS, *_OBJECTS, {"a": {"a": 1}}, {"a": {"b": "a"}}, [{"a": 1}], [[1]]]

_TYPES = st.sampled_from(["null", "boolean", "object", "array", "string", "integer", "number"])
_NAMES = st.sampled_from(["a", "b", "c"])
_SIZES = st.integers(0, 2)
_NUMBERS = st.sampled_from([-1, 0, 1, 0.5, 2])
_VALUES = st.sampled_from(_TRIED)


def _keywords(inner: st.SearchStrategy[Any]) -> list[dict[str, st.SearchStrategy[Any]]]:
    """The keywords that depend on each other, kind by kind."""
    return [
        {
            "required": st.lists(_NAMES, max_size=2, unique=True),
            "properties": st.dictionaries(_NAMES, inner, max_size=2),
            "additionalProperties": inner,
            "patternProperties": st.dictionaries(st.sampled_from(["a", "[bc]"]), inner, min_size=1, max_size=1),
            "unevaluatedProperties": inner,
            "minProperties": _SIZES,
            "maxProperties": _SIZES,
            "propertyNames": inner,
            "dependentRequired": st.sampled_from([{"a": ["b"]}, {"b": ["c"]}]),
        },
        {
            "items": inner,
            "prefixItems": st.lists(inner, min_size=1, max_size=2),
            "unevaluatedItems": inner,
            "contains": inner,
            "minContains": _SIZES,
            "maxContains": _SIZES,
            "minItems": _SIZES,
            "maxItems": _SIZES,
            "uniqueItems": st.booleans(),
        },
        {
            "type": _TYPES | st.lists(_TYPES, min_size=1, max_size=3, unique=True),
            "enum": st.lists(_VALUES, min_size=1, max_size=4),
            "const": _VALUES,
            "minimum": _NUMBERS,
            "exclusiveMinimum": _NUMBERS,
            "maximum": _NUMBERS,
            "exclusiveMaximum": _NUMBERS,
            "multipleOf": st.sampled_from([1, 2, 4, 0.5]),
            "minLength": _SIZES,
            "maxLength": _SIZES,
            "pattern": st.sampled_from(["a", "^b"]),
            "format": st.sampled_from(["email", "hostname"]),
        },
        {
            "not": inner,
            "anyOf": st.lists(inner, min_size=1, max_size=2),
            "allOf": st.lists(inner, min_size=1, max_size=2),
            "if": inner,
            "then": inner,
            "else": inner,
            "properties": st.dictionaries(_NAMES, inner, max_size=2),
            "unevaluatedProperties": inner,
            "title": st.sampled_from(["x", "y"]),
        },
    ]


def _schemas(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.sampled_from(_keywords(inner)).flatmap(_of_kind)


def _of_kind(keywords: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    names = st.sets(st.sampled_from(sorted(keywords)), max_size=3)
    return names.flatmap(lambda chosen: st.fixed_dictionaries({name: keywords[name] for name in sorted(chosen)}))


_SIMPLE = st.sampled_from([True, False, {"type": "string"}, {"const": 1}, {"maxLength": 1}, {"minimum": 1}])
_SCHEMAS = st.recursive(_SIMPLE, _schemas, max_leaves=2)


@st.composite
def _pairs(draw: st.DrawFn) -> tuple[Any, Any]:
    """Two schemas of one kind that differ in one or two keywords."""
    keywords = draw(st.sampled_from(_keywords(_SCHEMAS)))
    old = draw(_of_kind(keywords))
    new = dict(old)
    for name in draw(st.sets(st.sampled_from(sorted(keywords)), min_size=1, max_size=2)):
        if name in new and draw(st.booleans()):
            del new[name]
        else:
            new[name] = draw(keywords[name])
    return old, new


@settings(max_examples=100, deadline=None)
@given(_pairs())
def test_no_value_contradicts_the_reported_direction(pair: tuple[Any, Any]) -> None:
    old, new = pair
    direction = compare_contracts(old, new).direction
    back = {"loosened": "tightened", "tightened": "loosened"}
    assert compare_contracts(new, old).direction == back.get(direction, direction)
    if direction in ("mixed", "unknown"):
        return
    for value in _TRIED:
        fits_old, fits_new = (not validate(schema, value) for schema in (old, new))
        assert direction == "tightened" or fits_new or not fits_old, value
        assert direction == "loosened" or fits_old or not fits_new, value


@given(
    st.recursive(_VALUES | _SCHEMAS, lambda inner: st.dictionaries(_NAMES | st.just("type"), inner, max_size=2)),
    _SCHEMAS,
)
def test_an_answer_comes_when_anything_is_compared(old: Any, new: Any) -> None:
    assert compare_contracts(old, new).direction
    assert compare_contracts(old, old).direction == "equal"

"""A value made from a contract satisfies it and is the smallest of its kind, or is refused with a pointer."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from playbooks.common.json_pointer import parts
from playbooks.contracts.generation import NotGeneratedError, generate
from playbooks.contracts.validation import check_schema, validate


@pytest.mark.parametrize(
    ("contract", "value"),
    [
        ({}, {}),
        ({"const": [1]}, [1]),
        ({"enum": ["b", "a"], "default": "a"}, "b"),
        ({"type": "integer", "default": 7, "examples": [9]}, 7),
        ({"type": "string", "examples": [3, "right"]}, "right"),
        ({"type": "string", "default": "long", "maxLength": 2}, "te"),
        ({"type": ["null", "boolean"]}, True),
        ({"type": "null"}, None),
        ({"type": "integer", "minimum": 3, "multipleOf": 5}, 5),
        ({"type": "integer", "exclusiveMinimum": 3}, 4),
        ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.5}, 0.25),
        ({"type": "number", "maximum": -2.5}, -2.5),
        ({"type": "string", "minLength": 6}, "textxx"),
        ({"type": "string", "format": "date"}, "2026-01-01"),
        ({"type": "string", "pattern": "^APP-[0-9]{4}-[0-9A-F]{2}$"}, "APP-0000-00"),
        ({"type": "string", "pattern": r"^(?i)(?:ab|c)\.x+[^a-z]?$"}, "ab.x"),
        ({"type": "string", "pattern": r"^\+?\d+$", "minLength": 4}, "+000"),
        ({"type": "string", "pattern": "^[+--]$"}, "+"),
        ({"type": "array", "minItems": 2, "uniqueItems": True, "items": {"enum": [1, 2, 3]}}, [1, 2]),
        ({"type": "array", "contains": {"const": "x"}, "minItems": 2, "items": {"type": "string"}}, ["x", "text"]),
        ({"type": "array", "prefixItems": [{"const": 1}, {"const": 2}], "minItems": 2}, [1, 2]),
        ({"properties": {"a": {"type": "integer"}, "b": True}, "required": ["a"]}, {"a": 0}),
        ({"type": "object", "minProperties": 2, "properties": {"a": {"const": 1}}}, {"a": 1, "field_1": "text"}),
        ({"required": ["a"], "dependentRequired": {"a": ["b"]}}, {"a": "text", "b": "text"}),
        ({"$ref": "#/$defs/x", "$defs": {"x": {"type": "object", "required": ["y"]}}}, {"y": "text"}),
        ({"allOf": [{"required": ["a"]}, {"properties": {"a": {"type": "integer", "minimum": 4}}}]}, {"a": 4}),
        ({"oneOf": [{"type": "integer"}, {"type": "integer", "minimum": 0}, {"const": "c"}]}, "c"),
        ({"if": {"required": ["k"]}, "then": {"required": ["z"]}, "type": "object"}, {"k": "text", "z": "text"}),
    ],
)
def test_makes_the_least_value_when_the_contract_allows_one(contract: dict[str, Any], value: Any) -> None:
    assert check_schema(contract) == ()
    assert generate(contract) == value


@pytest.mark.parametrize(
    ("contract", "pointer"),
    [
        ({"properties": {"a": False}, "required": ["a"]}, "/c/properties/a"),
        ({"type": "string", "pattern": "(" * 900 + "a" + ")" * 900}, "/c/pattern"),
        ({"properties": {"a": {"type": "string", "pattern": r"^\C$"}}, "required": ["a"]}, "/c/properties/a/pattern"),
        ({"properties": {"a": {"$ref": "#"}}, "required": ["a"]}, "/c/properties/a"),
        ({"enum": []}, "/c"),
        ({"not": {}}, "/c"),
        ({"type": "array", "minItems": 10**9}, "/c"),
        ({"type": "object", "minProperties": 10**9}, "/c"),
        ({"oneOf": [{"anyOf": [{"not": {}}] * 90}] * 90}, "/c"),
        ({"type": "object", "propertyNames": {"pattern": "^x"}, "required": ["a"]}, "/c"),
    ],
)
def test_points_into_the_contract_when_no_value_can_be_made(contract: dict[str, Any], pointer: str) -> None:
    with pytest.raises(NotGeneratedError) as refused:
        generate(contract, "/c")
    problem = refused.value.problems[0]
    assert (problem.code, problem.pointer) == ("CANNOT_GENERATE", pointer)


_SCALARS = st.one_of(
    st.fixed_dictionaries(
        {"type": st.just("string")},
        optional={
            "minLength": st.integers(0, 9),
            "maxLength": st.integers(0, 9),
            "pattern": st.sampled_from([r"^[a-z]{2,4}\d$", "^(a|b)+$", r"^\w+@\S+$", "x.?"]),
        },
    ),
    st.fixed_dictionaries(
        {"type": st.just("string"), "format": st.sampled_from(["date", "date-time", "uuid", "email", "uri"])}
    ),
    st.fixed_dictionaries(
        {"type": st.sampled_from(["integer", "number"])},
        optional={
            "minimum": st.integers(-5, 5),
            "maximum": st.integers(-5, 5),
            "exclusiveMinimum": st.integers(-5, 5),
            "multipleOf": st.sampled_from([1, 2, 0.5]),
        },
    ),
    st.fixed_dictionaries({"enum": st.lists(st.integers() | st.text(max_size=3), max_size=3)}),
    st.sampled_from([True, False, {"type": "boolean"}, {"type": "null"}, {"$ref": "#"}, {"const": None}]),
)
_NAMES = st.sampled_from(["a", "b", "c"])
_SCHEMAS: st.SearchStrategy[Any] = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(
        st.fixed_dictionaries(
            {"type": st.just("object")},
            optional={
                "properties": st.dictionaries(_NAMES, inner, max_size=3),
                "required": st.lists(_NAMES, unique=True, max_size=3),
                "additionalProperties": inner,
                "minProperties": st.integers(0, 3),
            },
        ),
        st.fixed_dictionaries(
            {"type": st.just("array")},
            optional={
                "items": inner,
                "minItems": st.integers(0, 3),
                "maxItems": st.integers(0, 3),
                "uniqueItems": st.booleans(),
            },
        ),
        st.fixed_dictionaries({}, optional={"allOf": st.lists(inner, min_size=1, max_size=2), "not": inner}),
        st.fixed_dictionaries({"oneOf": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"anyOf": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"if": inner, "then": inner}),
    ),
    max_leaves=8,
)


@settings(max_examples=60)
@given(_SCHEMAS.filter(lambda schema: isinstance(schema, dict) and not check_schema(schema)))
def test_fits_or_is_refused_with_a_place_when_contracts_are_random(contract: dict[str, Any]) -> None:
    try:
        value = generate(contract, "/c")
    except NotGeneratedError as refused:
        place: Any = {"c": contract}
        for segment in parts(refused.problems[0].pointer):
            place = place[int(segment) if isinstance(place, list) else segment]
    else:
        assert validate(contract, value) == ()
        assert generate(contract, "/c") == value

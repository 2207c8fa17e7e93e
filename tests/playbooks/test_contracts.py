from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from playbooks.contracts.validation import check_schema, check_value, sensitive_pointers, validate

FORM: dict[str, Any] = {
    "type": "object",
    "required": ["score", "code"],
    "properties": {
        "score": {"type": "number", "minimum": 0, "maximum": 100},
        "code": {"type": "string", "pattern": "^[0-9]{2}$"},
        "email": {"format": "email"},
        "on": {"format": "date"},
        "at": {"format": "date-time"},
        "id": {"format": "uuid"},
        "link": {"format": "uri"},
        "tags": {"type": "array", "uniqueItems": True, "maxItems": 3},
    },
    "additionalProperties": False,
}
GOOD: dict[str, Any] = {"score": 1, "code": "12"}


@pytest.mark.parametrize(
    ("change", "problems"),
    [
        ({}, []),
        ({"score": 101}, [("OUT_OF_RANGE", "/data/score")]),
        ({"score": "secret"}, [("WRONG_TYPE", "/data/score")]),
        ({"score": True}, [("WRONG_TYPE", "/data/score")]),
        ({"code": "1a"}, [("PATTERN", "/data/code")]),
        ({"scoer": 1}, [("UNKNOWN_FIELD", "/data/scoer")]),
        ({"email": "a@b.example"}, []),
        ({"email": "nobody"}, [("FORMAT", "/data/email")]),
        ({"on": "2026-02-28"}, []),
        ({"on": "2026-02-30"}, [("FORMAT", "/data/on")]),
        ({"at": "2026-01-01T00:00:00.123456789Z"}, []),
        ({"at": "2026-01-01T00:00:00"}, [("FORMAT", "/data/at")]),
        ({"id": "6f0d1c62-9a55-5c4e-8f5d-2c1b6f1f7a10"}, []),
        ({"id": "6f0d1c629a555c4e8f5d2c1b6f1f7a10"}, [("FORMAT", "/data/id")]),
        ({"link": "https://a.example/b"}, []),
        ({"link": "nope"}, [("FORMAT", "/data/link")]),
        ({"tags": [1, True, "1"]}, []),
        ({"tags": [{"a": 1}, {"a": 1.0}]}, [("NOT_UNIQUE", "/data/tags")]),
        ({"tags": [1, 2, 3, 4]}, [("LENGTH", "/data/tags")]),
        ({"code": "12\0"}, [("INVALID_TEXT", "/data/code")]),
    ],
)
def test_problems_point_at_the_place_when_a_value_does_not_fit(change: Any, problems: list[Any]) -> None:
    found = validate(FORM, {**GOOD, **change}, pointer="/data")
    assert [(problem.code, problem.pointer) for problem in found] == problems
    assert "secret" not in str(found)


def test_missing_field_is_pointed_at_when_it_is_required() -> None:
    assert [problem.pointer for problem in validate(FORM, {})] == ["/score", "/code"]


def test_field_is_suggested_when_a_name_is_close() -> None:
    assert validate(FORM, {**GOOD, "scoer": 1})[0].suggestion == "did you mean 'score'?"


@pytest.mark.parametrize(
    ("schema", "code", "pointer"),
    [
        ({"$ref": "https://example.com/schema"}, "REMOTE_REFERENCE", "/c/$ref"),
        ({"properties": {"a": {"$ref": "other.json"}}}, "REMOTE_REFERENCE", "/c/properties/a/$ref"),
        ({"$ref": "#/$defs/none"}, "INVALID_SCHEMA", "/c/$ref"),
        ({"properties": {"a": {"$id": "x", "type": "string"}}}, "NOT_SUPPORTED", "/c/properties/a/$id"),
        ({"items": {"pattern": "(?=a)b"}}, "UNSUPPORTED_PATTERN", "/c/items/pattern"),
        ({"patternProperties": {"(a)\\1": {}}}, "UNSUPPORTED_PATTERN", "/c/patternProperties/(a)\\1"),
        ({"type": "strin"}, "INVALID_SCHEMA", "/c/type"),
        ({"properties": {"a": {"x-sensitive": "yes"}}}, "INVALID_SCHEMA", "/c/properties/a/x-sensitive"),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, "NOT_SUPPORTED", "/c/$schema"),
        ({"minimum": float("inf")}, "INVALID_NUMBER", "/c/minimum"),
        ([], "INVALID_SCHEMA", "/c"),
        ({"description": "x" * 300_000}, "TOO_LARGE", "/c"),
    ],
)
def test_schema_is_refused_when_it_breaks_a_rule(schema: Any, code: str, pointer: str) -> None:
    assert [(problem.code, problem.pointer) for problem in check_schema(schema, "/c")] == [(code, pointer)]


@pytest.mark.parametrize(
    "schema",
    [
        FORM,
        {"$schema": "https://json-schema.org/draft/2020-12/schema"},
        {"properties": {"child": {"$ref": "#"}}},
        {"$defs": {"a": {"$anchor": "here", "type": "string"}}, "$ref": "#here"},
        {"pattern": "^\\p{L}+$"},
    ],
)
def test_schema_is_accepted_when_it_keeps_the_rules(schema: Any) -> None:
    assert check_schema(schema) == ()


CIRCLES: list[Any] = [
    {"$ref": "#"},
    {"allOf": [{"$ref": "#"}]},
    {"anyOf": [{"$ref": "#"}, {"$ref": "#"}]},
    {"not": {"$ref": "#"}},
    {"if": {"$ref": "#"}, "then": {"$ref": "#"}},
    {"$dynamicAnchor": "m", "$dynamicRef": "#m"},
    {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"not": {"$ref": "#/$defs/a"}}}, "$ref": "#/$defs/a"},
]


def test_recursive_schema_works_when_values_end() -> None:
    schema: Any = {"type": "object", "properties": {"child": {"$ref": "#"}}, "additionalProperties": False}
    assert validate(schema, {"child": {"child": {}}}) == ()
    assert validate(schema, {"child": {"x": 1}})[0].pointer == "/child/x"


def test_a_recursive_schema_is_refused_and_breaks_nothing() -> None:
    """At the end of the stack the library's native code panics, and a panic is no Exception."""
    for schema in CIRCLES:
        found = validate(schema, {"x": {"x": 1}})
        assert found == () or found[0].code in ("CANNOT_CHECK", "INVALID_VALUE"), schema


def test_values_as_deep_as_they_come_are_checked_when_the_schema_is_recursive() -> None:
    schema: Any = {"$defs": {"node": {"items": {"$ref": "#/$defs/node"}, "type": "array"}}, "$ref": "#/$defs/node"}
    deep: Any = []
    for _ in range(60):
        deep = [deep]
    assert validate(schema, deep) == ()


def multiplying() -> dict[str, Any]:
    definitions: dict[str, Any] = {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(30)}
    return {"$defs": {**definitions, "a30": {"type": "string"}}, "$ref": "#/$defs/a0"}


@pytest.mark.parametrize(
    ("schema", "value", "code"),
    [
        ({"$ref": "#"}, 1, "CANNOT_CHECK"),
        (multiplying(), "x", "CANNOT_CHECK"),
        ({"items": {"pattern": "^(a+)+$"}}, ["a" * 5_000 + "b"], "PATTERN"),
        (
            {"patternProperties": {"^(a+)+$": {}}, "additionalProperties": False},
            {"a" * 5_000 + "b": 1},
            "UNKNOWN_FIELD",
        ),
        ({"uniqueItems": True}, [{}] * 20_000, "NOT_UNIQUE"),
        ({"multipleOf": 0.1}, 1e300, "OUT_OF_RANGE"),
        ({"$ref": "https://example.com/never-fetched"}, 1, "INVALID_SCHEMA"),
    ],
)
def test_validation_ends_soon_when_schema_or_value_are_hostile(schema: Any, value: Any, code: str) -> None:
    # The thread's own processor time, with a wide margin: a catastrophic pattern would never end.
    started = time.thread_time()
    found = validate(schema, value)
    assert time.thread_time() - started < 10
    assert found == () or found[0].code in (code, "CANNOT_CHECK")
    assert found or schema == {"multipleOf": 0.1}


def test_uniqueness_is_checked_fast_when_items_have_no_order() -> None:
    started = time.thread_time()
    assert validate({"uniqueItems": True}, [{"n": n} for n in range(5_000)]) == ()
    assert time.thread_time() - started < 5


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("a\0b", "INVALID_TEXT"),
        ({"a\0": 1}, "INVALID_TEXT"),
        (["\ud800"], "INVALID_TEXT"),
        (float("nan"), "INVALID_NUMBER"),
        (float("-inf"), "INVALID_NUMBER"),
        (10**400, "INVALID_NUMBER"),
        ({"a": [2**63]}, "INVALID_NUMBER"),
        ("é" * 600_000, "TOO_LARGE"),
        ([1] * 200_001, "TOO_LARGE"),
    ],
)
def test_value_is_refused_when_it_is_poison(value: Any, code: str) -> None:
    assert check_value(value)[0].code == code


def test_value_is_refused_when_it_is_deeper_than_any_stack() -> None:
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    assert check_value(deep)[0].code == "TOO_DEEP"
    # Unwound by hand: freeing it in one go would recurse in C.
    while isinstance(deep, list):
        deep = deep[0]


@pytest.mark.parametrize(
    "value", [None, "a" * 1_000_000, {"a": [1, 2.5, "x", True, 2**63 - 1, -(2**63)]}, "\U0001f600"]
)
def test_value_is_accepted_when_it_is_ordinary(value: Any) -> None:
    assert check_value(value) == ()


@pytest.mark.parametrize(
    ("schema", "pointers"),
    [
        ({"x-sensitive": True}, ("",)),
        ({"properties": {"a": {"x-sensitive": True}, "b": {}}}, ("/a",)),
        ({"properties": {"a/b": {"x-sensitive": True}}}, ("/a~1b",)),
        ({"properties": {"l": {"items": {"properties": {"s": {"x-sensitive": True}}}}}}, ("/l/*/s",)),
        ({"additionalProperties": {"x-sensitive": True}}, ("/*",)),
        ({"prefixItems": [{}, {"x-sensitive": True}]}, ("/1",)),
        ({"allOf": [{"properties": {"a": {"x-sensitive": True}}}]}, ("/a",)),
        ({"if": {}, "then": {"properties": {"a": {"x-sensitive": True}}}}, ("/a",)),
        ({"$defs": {"p": {"x-sensitive": True}}, "properties": {"a": {"$ref": "#/$defs/p"}}}, ("/a",)),
        ({"$defs": {"p": {"x-sensitive": True}}}, ()),
        ({"properties": {"a": {"x-sensitive": True, "properties": {"b": {"x-sensitive": True}}}}}, ("/a",)),
        ({"properties": {"n": {"$ref": "#"}, "a": {"x-sensitive": True}}}, ("/a", "/n/a")),
        (multiplying(), ("",)),
    ],
)
def test_sensitive_places_are_found_when_a_schema_marks_them(schema: Any, pointers: tuple[str, ...]) -> None:
    assert sensitive_pointers(schema) == pointers


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "properties", "items", "$ref", "allOf", "enum", "pattern", "required", "minimum"])
            | st.text(max_size=3),
            inner,
            max_size=3,
        )
    ),
    max_leaves=10,
)


@settings(max_examples=40, deadline=None)
@given(anything, anything)
def test_contracts_are_total_when_given_anything(schema: Any, value: Any) -> None:
    if check_schema(schema) == ():
        validate(schema, value)
    sensitive_pointers(schema)

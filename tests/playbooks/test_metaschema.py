"""The meta-schema in one piece, against the library's own check, which reads it as it was published."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import SchemaError

from playbooks.contracts import validation
from playbooks.contracts.metaschema import mismatch

_KEYWORDS = [
    "$anchor $comment $defs $dynamicAnchor $dynamicRef $id $recursiveAnchor $recursiveRef $ref $schema $vocabulary",
    "additionalProperties allOf anyOf const contains contentEncoding contentMediaType contentSchema default",
    "definitions dependencies dependentRequired dependentSchemas deprecated description else enum examples",
    "exclusiveMaximum exclusiveMinimum format if items maxContains maxItems maxLength maxProperties maximum",
    "minContains minItems minLength minProperties minimum multipleOf not oneOf pattern patternProperties prefixItems",
    "properties propertyNames readOnly required then title type unevaluatedItems unevaluatedProperties",
    "uniqueItems writeOnly",
]
KEYWORDS = [keyword for line in _KEYWORDS for keyword in line.split()]
VALUES: list[Any] = [
    *(True, None, -1, 0, 1.5, "", "x", "string", "#", "a#b#c", "1x", [], ["a"], ["a", "a"], [1], [{}], [{"type": 1}]),
    *({}, {"a": {}}, {"a": True}, {"a": 1}, {"a": ["b"]}, {"a": ["b", "b"]}, {"a": {"type": "no"}}),
]


def reference(schema: Any) -> SchemaError | None:
    try:
        Draft202012Validator.check_schema(schema, format_checker=FormatChecker(formats=()))
    except SchemaError as error:
        return error
    return None


@pytest.mark.parametrize("keyword", KEYWORDS)
def test_agrees_with_the_published_one_on_each_keyword(keyword: str) -> None:
    for value in VALUES:
        schema: Any = {keyword: value}
        ours, published = mismatch(schema), reference(schema)
        assert (ours is None) == (published is None), schema
        if ours is not None and published is not None and "not unique" not in ours.message:
            assert list(ours.absolute_path)[:1] == list(published.absolute_path)[:1], schema


schemas = st.recursive(
    st.sampled_from(VALUES),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(KEYWORDS), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(KEYWORDS), schemas, max_size=4))
def test_agrees_with_the_published_one_when_schemas_are_random(schema: Any) -> None:
    assert (mismatch(schema) is None) == (reference(schema) is None)


def test_a_contract_is_judged_soon_when_it_was_made_to_be_slow() -> None:
    slow: Any = {"oneOf": [{"anyOf": [{"type": "string"}] * 90}] * 90}
    mixed: Any = {"required": [*range(20_000), "x"]}
    started = time.thread_time()
    assert validation.check_schema(slow) == ()
    assert validation.check_schema(mixed)[0].code == "INVALID_SCHEMA"
    # It takes a tenth of that; the library's own check took minutes for the two.
    assert time.thread_time() - started < 10

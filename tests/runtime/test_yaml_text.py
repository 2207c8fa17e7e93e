"""YAML: equal after a round trip, and limited to JSON values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from playbooks.common.errors import MalformedRequestError, ValidationError
from playbooks.common.json_values import check_value
from runtime.yaml_text import from_yaml, to_yaml

EXAMPLES = Path(__file__).parents[2] / "examples"
TRAPS = [
    *("on", "off", "yes", "no", "y", "n", "true", "True", "null", "~", "", "2026-01-31", "2026-01-31T10:00:00Z"),
    *("1_000", "010", "0o7", "0x1F", "1:30", "1e3", "1E5", ".5", "5.", "+5", "-5", "-0", "0.1", ".nan", ".inf", "<<"),
    *("=", "-", "- a", "?", ":", "a: b", "a #b", "# c", "!x", "&a", "*a", "|", ">", "%a", "@a", "`a", "{a}", "[a]"),
    *(" a", "a ", "a\nb", "a\n", "\na", "a\n\n", " a\nb ", "\t", "a\tb", "a\rb", "\x85", "\u2028", "\ufeff", "'", '"'),
    *("\\", "---", "...", "--- a", "\U0001f600", "é", "a" * 300, "b " * 300, "${input.a}"),
]


@pytest.mark.parametrize("text", TRAPS)
def test_a_text_stays_text_when_it_looks_like_something_else(text: str) -> None:
    value: Any = {"a": text, text: [text, {text: text}]}
    assert from_yaml(to_yaml(value)) == value


@pytest.mark.parametrize("text", ["on", "yes", "2026-01-31", "1:30", "1_000", "010", "~", "1e3"])
def test_another_reader_sees_text_when_we_wrote_it(text: str) -> None:
    assert yaml.safe_load(to_yaml({text: text})) == {text: text}


json_values: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(),
        st.sampled_from(TRAPS),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(), inner, max_size=4)),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(json_values)
def test_a_value_survives_a_round_trip(value: Any) -> None:
    if check_value(value):
        return
    # As texts, so that 1, 1.0 and true differ, and the order of names counts.
    assert json.dumps(from_yaml(to_yaml(value))) == json.dumps(value)


@pytest.mark.parametrize("name", ["grants-intake.playbook.json", "requests.json"])
def test_an_example_survives_a_round_trip(name: str) -> None:
    value = json.loads((EXAMPLES / name).read_text())
    text = to_yaml(value)
    assert json.dumps(from_yaml(text)) == json.dumps(value)
    assert yaml.safe_load(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("a: yes\non: no", {"a": "yes", "on": "no"}),
        ("a: 2026-01-31", {"a": "2026-01-31"}),
        ("a: [1, -2, 2.5, 1e3, 010, 0x1F, +1, .5]", {"a": [1, -2, 2.5, 1000.0, "010", "0x1F", "+1", ".5"]}),
        ("{1: a, null: b, true: c}", {"1": "a", "null": "b", "true": "c"}),
        ("a: '1'\nb: \"true\"", {"a": "1", "b": "true"}),
        ("a: |\n  x\n  y\nb: >-\n  x\n  y", {"a": "x\ny\n", "b": "x y"}),
        ("- ~\n- null\n-", [None, None, None]),
        ("'<<': {a: 1}", {"<<": {"a": 1}}),
        ("# nothing\n---\na: 1\n...\n", {"a": 1}),
    ],
)
def test_plain_words_are_what_json_has_when_a_person_wrote_them(text: str, value: Any) -> None:
    assert json.dumps(from_yaml(text)) == json.dumps(value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: &x 1", "anchors"),
        ("a: *x", "alias"),
        ("a: &x [1]\nb: [*x, *x]", "anchors"),
        ("a: !!python/object/apply:os.system [x]", "tags"),
        ("a: !!str 5", "tags"),
        ("a: .nan", "not a number"),
        ("a: -.INF", "not a number"),
        ("a: 1e999", "too large"),
        ("a: " + "9" * 21, "digits"),
        ("a: [1", "line 2"),
        ("a: 1\n\tb: 2", "line 2"),
        ("--- 1\n--- 2", "more than one document"),
        ("? [a]\n: 1", "has to be text"),
        ("<<: {a: 1}", "merge"),
        ("[" * 5_000, "deep"),
        ("- " * 5_000, "deep"),
        ("a: \x00", "not YAML"),
        ("a: \ud800", "not YAML"),
    ],
)
def test_a_text_is_refused_when_it_is_more_than_json(text: str, words: str) -> None:
    with pytest.raises(MalformedRequestError, match=words):
        from_yaml(text)


def test_a_duplicate_name_is_refused_with_its_pointer() -> None:
    with pytest.raises(ValidationError) as refused:
        from_yaml("steps:\n- name: a\n- input: {x/y: 1, 'x/y': 2}")
    assert [(item.pointer, item.code) for item in refused.value.problems] == [("/steps/1/input/x~1y", "DUPLICATE")]

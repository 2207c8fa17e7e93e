from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playbooks.common import json_pointer

VALUE: Any = {"a": {"b": 1, "c": [{"s": 1}, {"s": 2, "t": 3}]}, "x/y": {"~": 4}, "l": [1, 2]}


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ([""], "X"),
        (["/a/b"], {**VALUE, "a": {"b": "X", "c": VALUE["a"]["c"]}}),
        (["/a/c/*/s"], {**VALUE, "a": {"b": 1, "c": [{"s": "X"}, {"s": "X", "t": 3}]}}),
        (["/a/c/1", "/a/c/1/s"], {**VALUE, "a": {"b": 1, "c": [{"s": 1}, "X"]}}),
        (["/x~1y/~0"], {**VALUE, "x/y": {"~": "X"}}),
        (["/l/*", "/none/*"], {**VALUE, "l": ["X", "X"]}),
        (["/*"], {"a": "X", "x/y": "X", "l": "X"}),
        (["/l/9", "/a/b/deeper", "/l/x"], VALUE),
        ([], VALUE),
    ],
)
def test_places_are_replaced_when_pointers_match(places: list[str], expected: Any) -> None:
    before = repr(VALUE)
    assert json_pointer.transform_at(VALUE, places, lambda _: "X") == expected
    assert repr(VALUE) == before


def test_places_are_removed_when_pointers_match() -> None:
    left = json_pointer.without(VALUE, ["/a/c/*/s", "/l/0", "/x~1y"])
    assert left == {"a": {"b": 1, "c": [{}, {"t": 3}]}, "l": [2]}
    assert json_pointer.without(VALUE, [""]) is None


def test_value_is_picked_when_the_pointer_leads_there() -> None:
    assert json_pointer.pick(VALUE, "/a/c/1/t") == 3
    assert json_pointer.pick(VALUE, "/a/nope", "default") == "default"


@given(st.lists(st.text(max_size=5), max_size=5))
def test_pointer_reads_back_when_it_was_built(segments: list[str]) -> None:
    pointer = json_pointer.from_parts(segments)
    assert json_pointer.parts(pointer) == tuple(segments)

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playbooks import pointers

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
    assert pointers.transform_at(VALUE, places, lambda _: "X") == expected
    assert repr(VALUE) == before


def test_places_are_removed_when_pointers_match() -> None:
    left = pointers.without(VALUE, ["/a/c/*/s", "/l/0", "/x~1y"])
    assert left == {"a": {"b": 1, "c": [{}, {"t": 3}]}, "l": [2]}
    assert pointers.without(VALUE, [""]) is None


def test_value_is_picked_when_the_pointer_leads_there() -> None:
    assert pointers.pick(VALUE, "/a/c/1/t") == 3
    assert pointers.pick(VALUE, "/a/nope", "default") == "default"


@given(st.lists(st.text(max_size=5), max_size=5))
def test_pointer_reads_back_when_it_was_built(segments: list[str]) -> None:
    pointer = pointers.from_parts(segments)
    assert pointers.parts(pointer) == tuple(segments)

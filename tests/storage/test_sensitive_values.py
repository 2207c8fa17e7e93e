"""Sealing: what is marked cannot be read, everything comes back exactly, and no client's value passes for ours."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.keys import KeyRing, KeyRingError
from storage.database.sealing import Sealer, escape_markers

OLD = "old:" + base64.b64encode(b"o" * 32).decode()
NEW = "new:" + base64.b64encode(b"n" * 32).decode()
SEALER = Sealer(KeyRing.parse(OLD))

NAMES = st.sampled_from(["a", "b", "$sealed", "$$sealed", "$$$sealed", "sealed", "$", "$sealedX"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
POINTERS = st.lists(st.sampled_from(["", "/a", "/a/b", "/*", "/*/b", "/$sealed", "/$sealed/a", "/0", "/*/$$sealed"]))


@given(value=VALUES, pointers=POINTERS)
def test_value_comes_back_exactly_when_opened(value: Any, pointers: list[str]) -> None:
    assert SEALER.open(SEALER.seal(value, pointers)) == value


@given(value=VALUES)
def test_value_is_shown_as_it_was_when_nothing_is_sealed(value: Any) -> None:
    assert SEALER.redact(SEALER.seal(value, ())) == value
    assert SEALER.redact(escape_markers(value)) == SEALER.open(escape_markers(value)) == value


def test_marked_places_are_encrypted_and_hidden_when_sealed() -> None:
    value = {"people": [{"iban": "DE-secret", "name": "Anna"}, {"iban": None}], "n": 1}
    stored = SEALER.seal(value, ["/people/*/iban", "/absent"])
    assert "DE-secret" not in json.dumps(stored)
    assert SEALER.redact(stored) == {"people": [{"iban": "***", "name": "Anna"}, {"iban": None}], "n": 1}


def test_look_alike_of_a_client_opens_to_itself_when_it_lies_inside_a_sealed_value() -> None:
    forged = SEALER.seal("somebody else's", [""])
    value = {"a": {"inner": forged}, "b": forged}
    stored = SEALER.seal(value, ["/a"])
    assert SEALER.open(stored) == value
    assert SEALER.redact(stored) == {"a": "***", "b": forged}


def test_old_values_open_when_a_new_key_is_put_in_front() -> None:
    both = Sealer(KeyRing.parse(f"{NEW},{OLD}"))
    stored = SEALER.seal({"a": 1}, ["/a"])
    assert both.open(stored) == {"a": 1}
    assert str(both.seal({"a": 1}, ["/a"])).startswith("{'a': {'$sealed': 'new:")
    with pytest.raises(KeyRingError):
        Sealer(KeyRing.parse(NEW)).open(stored)


@pytest.mark.parametrize("text", ["old:AAAA", "old", "old:not base64", "other:AAAA", 5, None])
def test_opening_is_refused_when_a_marker_was_changed(text: Any) -> None:
    with pytest.raises(KeyRingError):
        SEALER.open({"a": {"$sealed": text}})

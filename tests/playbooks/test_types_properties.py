"""Inferred types hold in every run: random contracts, values, expressions."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from playbooks.common.errors import MappingError
from playbooks.contracts import validation
from playbooks.expressions import cel
from playbooks.inference import mappings
from playbooks.inference.environment import Names
from playbooks.inference.from_schema import type_of
from playbooks.inference.value_types import kinds_of, meet, of_kind

CANDIDATES: list[Any] = [*range(-3, 4), -1.5, 0.5, 2.0, "", "a", "b", True, False, None]
SCALARS = st.sampled_from(CANDIDATES)
SCHEMAS: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.just({}),
        st.builds(lambda name: {"type": name}, st.sampled_from(["string", "number", "integer", "boolean", "null"])),
        st.builds(lambda values: {"enum": values}, st.lists(SCALARS, min_size=1, max_size=3)),
        st.builds(lambda value: {"const": value}, SCALARS),
        st.builds(lambda low, size: {"type": "number", "minimum": low, "maximum": low + size},
                  st.integers(-3, 2), st.integers(0, 3)),
        st.builds(lambda low: {"exclusiveMinimum": low}, st.integers(-3, 3)),
    ),
    lambda inner: st.one_of(
        st.builds(lambda parts: {"anyOf": parts}, st.lists(inner, min_size=1, max_size=2)),
        st.builds(lambda parts: {"allOf": parts}, st.lists(inner, min_size=1, max_size=2)),
    ),
    max_leaves=3,
)  # fmt: skip
ATOMS = st.sampled_from(
    ["input.a", "input.b", "input.c", "1", "-2", "0.5", "2.0", "'a'", "'b'", "true", "false", "null", "[1, 'a', 2.0]"]
)
OPERATORS = ("==", "!=", "<", "<=", ">", ">=", "&&", "||", "+", "-", "*", "in")
EXPRESSIONS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from(OPERATORS), inner),
        st.builds("!({})".format, inner),
        st.builds("(({}) ? ({}) : ({}))".format, inner, inner, inner),
        st.builds("double({})".format, inner),
        st.builds("[{}].exists(x, x == {})".format, inner, inner),
    ),
    max_leaves=6,
)


def _fitting(contract: Any) -> list[Any]:
    return [value for value in CANDIDATES if not validation.validate(contract, value)]


SATISFIABLE = SCHEMAS.filter(_fitting)
COMPILING = EXPRESSIONS.filter(lambda text: cel.tree(text) is not None)


@settings(max_examples=60, deadline=None)
@given(st.fixed_dictionaries(dict.fromkeys("abc", SATISFIABLE)), st.data(), COMPILING)
def test_no_run_contradicts_when_something_is_known_of_an_expression(
    properties: dict[str, Any], data: st.DataObject, text: str
) -> None:
    contract = {"type": "object", "properties": properties}
    value = {name: data.draw(st.sampled_from(_fitting(part)), label=name) for name, part in properties.items()}
    names: Names = {"input": meet(of_kind("map"), type_of(contract))}
    typed = mappings.expression(text, "", names)
    try:
        result = cel.evaluate(text, {"input": value})
    except MappingError:
        return
    assert kinds_of(result) & typed.type.kinds, (text, result, typed)
    if typed.type.values is not None and not isinstance(result, (list, dict)):
        assert any(result == each for each in typed.type.values), (text, result, typed)


@settings(max_examples=60, deadline=None)
@given(SCHEMAS, SCALARS)
def test_a_value_is_among_what_is_known_when_it_satisfies_the_contract(contract: Any, value: Any) -> None:
    if validation.validate(contract, value):
        return
    known = type_of(contract)
    assert kinds_of(value) & known.kinds
    assert known.values is None or any(value == each for each in known.values)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        assert known.low <= value <= known.high


@settings(max_examples=40, deadline=None)
@given(st.fixed_dictionaries(dict.fromkeys("abc", SATISFIABLE)), st.data(), COMPILING)
def test_a_run_fails_or_finds_them_different_when_a_mismatch_is_certain(
    properties: dict[str, Any], data: st.DataObject, text: str
) -> None:
    """Without `&&`, `||`, `?` and macros, which may not evaluate the part that does not fit."""
    if any(word in text for word in ("&&", "||", "?", "exists")):
        return
    contract = {"type": "object", "properties": properties}
    value = {name: data.draw(st.sampled_from(_fitting(part)), label=name) for name, part in properties.items()}
    typed = mappings.expression(text, "", {"input": meet(of_kind("map"), type_of(contract))})
    certain = [mismatch.message for _, mismatch in typed.mismatches if mismatch.is_certain]
    pointless = ("they are never equal", "nothing in the list")
    if not certain or any(message.startswith(pointless) for message in certain):
        return
    try:
        result = cel.evaluate(text, {"input": value})
    except MappingError:
        return
    raise AssertionError((text, value, result, certain))

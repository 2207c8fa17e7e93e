"""Conformance test of the expression engine behind our module: results, refusals, leaks."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from playbooks.common.errors import MappingError
from playbooks.expressions import cel

CONTEXT: dict[str, Any] = {
    "input": {"a": 1, "b": 1.5, "s": "hush-hush", "n": None, "l": [3, 1], "a-b": 7, "t": True},
    "steps": {"one": {"status": "completed", "output": {"x": 1, "list": [{"y": 2}]}}, "two": {"status": "skipped"}},
    "vars": {},
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("input.a", 1),
        ("input['a-b']", 7),
        (" input.b ", 1.5),
        ("input.n", None),
        ("input.n == null", True),
        ("double(input.a) + input.b", 2.5),
        ("input.a + 1", 2),
        ("has(input.zz)", False),
        ("has(input.a) && input.a == 1", True),
        ("input.zz == 1 || input.t", True),
        ("steps['one'].output.x", 1),
        ("steps.one.output.list.map(i, i.y + input.a)", [3]),
        ("{'b': input.a, 'a': {'d': 1, 'c': 2}}", {"a": {"c": 2, "d": 1}, "b": 1}),
        ("steps.two.status == 'completed' ? steps.two.output.x : 0", 0),
        ("timestamp('2026-01-02T03:04:05Z') + duration('1h')", "2026-01-02T04:04:05Z"),
        ("duration('90s')", "90s"),
        ("b'ab'", "YWI="),
        ("5u", 5),
        ("'a' in {'a': 1}", True),
    ],
)
def test_value_is_json_when_the_expression_holds(text: str, expected: object) -> None:
    value = cel.evaluate(text, CONTEXT)
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    ("text", "code", "pointer"),
    [
        ("input.zz", "MISSING_PATH", "/input/zz"),
        ("input.a.b.c", "MISSING_PATH", "/input/a/b"),
        ("input.n.x", "MISSING_PATH", "/input/n/x"),
        ("input.zz + 1", "MISSING_PATH", "/input/zz"),
        ("has(input.zz.y)", "MISSING_PATH", "/input/zz"),
        ("steps.two.output.x > 1", "MISSING_PATH", "/steps/two/output"),
        ("run.id", "MISSING_PATH", "/run"),
        ("run.id == 'a'", "MISSING_PATH", "/run"),
        ("input.a + input.b", "EXPRESSION_FAILED", "/input/a"),
        ("1 / 0", "EXPRESSION_FAILED", ""),
        ("int(input.s)", "EXPRESSION_FAILED", "/input/s"),
        ("input.l[9]", "EXPRESSION_FAILED", "/input/l"),
        ("'a'.matches('(')", "EXPRESSION_FAILED", ""),
        ("1.0 / 0.0", "RESULT_NOT_JSON", ""),
        ("{1: 2}", "RESULT_NOT_JSON", ""),
        ("type(1)", "RESULT_NOT_JSON", ""),
        ("'\\u0000'", "RESULT_NOT_JSON", ""),
        ("{'a': 1, 'a': 2}", "EXPRESSION_FAILED", ""),
        ("1 +", "INVALID_EXPRESSION", ""),
    ],
)
def test_error_names_the_path_when_there_is_no_value(text: str, code: str, pointer: str) -> None:
    with pytest.raises(MappingError) as raised:
        cel.evaluate(text, CONTEXT)
    assert (raised.value.problems[0].code, raised.value.problems[0].pointer) == (code, pointer)


def test_error_suggests_double_when_int_meets_double() -> None:
    with pytest.raises(MappingError) as raised:
        cel.evaluate("input.a + input.b", CONTEXT)
    assert "double(" in str(raised.value.problems[0].suggestion)
    assert "double(" in str(cel.check("1 + 2.0").problems[0].suggestion)


@pytest.mark.parametrize(
    "text", ["int(input.s)", "timestamp(input.s)", "'a'.matches(input.s + '(')", "duration(input.s)", "input.s + 1"]
)
def test_error_does_not_repeat_a_value_when_evaluation_fails(text: str) -> None:
    with pytest.raises(MappingError) as raised:
        cel.evaluate(text, CONTEXT)
    assert "hush" not in str(raised.value.problems)
    assert "hush" not in raised.value.detail


@pytest.mark.parametrize(
    "text",
    [
        "input.l.map(a, input.l.map(b, input.l.map(c, input.l.map(d, 1))))",
        "input.l.map(a, input.l)",
        "input.l.map(a, input.s + input.s)",
    ],
)
def test_evaluation_ends_when_macros_multiply(text: str) -> None:
    context: dict[str, Any] = {"input": {"l": list(range(700)), "s": "x" * 4_000}}
    with pytest.raises(MappingError):
        cel.evaluate(text, context)


@pytest.mark.parametrize(
    "text",
    [
        "size(input.l.map(a, input.s + input.s))",
        "input.l.exists(a, (string(a) + input.s).matches('^b+$'))",
        "[1, 2, 3].exists(a, [1, 2, 3].exists(b, (input.s + 'x') == 'y'))",
        "input.many.map(x, input.many + [x])",
    ],
)
def test_memory_is_bounded_when_macros_join_long_texts(text: str) -> None:
    context: dict[str, Any] = {"input": {"l": list(range(4_000)), "s": "x" * 1_000_000, "many": list(range(100_000))}}
    with pytest.raises(MappingError) as raised:
        cel.evaluate(text, context)
    assert raised.value.problems[0].code == "TOO_LARGE"


def test_texts_are_joined_when_a_macro_stays_ordinary() -> None:
    people: Any = [{"first": "Ada", "last": f"L{n}", "notes": "x" * 5_000} for n in range(500)]
    assert len(str(cel.evaluate("input.p.map(x, x.first + ' ' + x.last)", {"input": {"p": people}}))) > 3_000


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("steps.a.output.x + steps['b'].status", [("steps", "a", "output", "x"), ("steps", "b", "status")]),
        ("steps[input.k].output", [("input", "k"), ("steps",)]),
        ("has(steps.a.output.x)", [("steps", "a", "output", "x")]),
        ("input == {} || input.a > 1", [("input",)]),
        ("steps.a.output.l.exists(input, input.z > vars.m)", [("steps", "a", "output", "l"), ("vars", "m")]),
        ("[1, 2].map(x, x + input.q)[0]", [("input", "q")]),
        ("{'a': input.b}.a", [("input", "b")]),
        ("[input.a][0].b", [("input", "a")]),
        ("input.l[0].x", [("input", "l")]),
        ("size(input.a) > int('1')", [("input", "a")]),
        ("steps.a.output.l.map(k, steps[k].output)", [("steps",)]),
        ("steps.a.output.l.filter(i, i.x == input.y).map(i, i.z)", [("input", "y"), ("steps", "a", "output", "l")]),
        ("true ? run.id : vars.x", [("run", "id"), ("vars", "x")]),
        ("google.protobuf.Int32Value{value: input.a} == 1", [("input", "a")]),
        ("1 + 1", []),
    ],
)
def test_checked_expression_lists_its_references(text: str, paths: list[tuple[str, ...]]) -> None:
    checked = cel.check(text)
    assert checked.problems == ()
    assert list(checked.references) == paths


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("inptu.a", "UNKNOWN_REFERENCE"),
        ("item.a", "UNKNOWN_REFERENCE"),
        ("response.status", "UNKNOWN_REFERENCE"),
        ("1 +", "INVALID_EXPRESSION"),
        ("", "INVALID_EXPRESSION"),
        ("foo(1)", "INVALID_EXPRESSION"),
        ("'a' + 1", "INVALID_EXPRESSION"),
        ("(" * 200 + "1" + ")" * 200, "INVALID_EXPRESSION"),
        ("1" + "+1" * 1_000, "INVALID_EXPRESSION"),
        ("[1].map(x, " * 25 + "1" + ")" * 25, "TOO_DEEP"),
        ("'" + "x" * 5_000 + "'", "TOO_LONG"),
        ("'\ud800'", "INVALID_EXPRESSION"),
    ],
)
def test_problem_is_reported_when_text_is_no_expression(text: str, code: str) -> None:
    checked = cel.check(text, "/here")
    assert [(problem.code, problem.pointer) for problem in checked.problems] == [(code, "/here")]


def test_name_is_suggested_when_one_is_misspelt() -> None:
    assert cel.check("inptu.a").problems[0].suggestion == "did you mean 'input'?"


def test_problem_is_reported_when_a_condition_is_not_boolean() -> None:
    assert cel.check_condition("'text'").problems[0].code == "CONDITION_NOT_BOOLEAN"
    with pytest.raises(MappingError):
        cel.evaluate_condition("input.s", CONTEXT)


def test_evaluated_condition_reports_the_values_it_read() -> None:
    result = cel.evaluate_condition("input.a > 0 && steps.one.status == 'x' && has(input.zz)", CONTEXT)
    assert not result.holds
    assert result.values == {"input.a": 1, "steps.one.status": "completed"}


def test_evaluated_condition_does_not_repeat_long_values() -> None:
    result = cel.evaluate_condition("size(input.s) > 5", {"input": {"s": "x" * 5_000}})
    assert len(json.dumps(result.values)) < 100


@pytest.mark.parametrize(
    ("field", "operator", "value", "holds"),
    [
        ("input.a", "equals", 1.0, True),
        ("input.t", "equals", 1, False),
        ("input.a", "!=", 2, True),
        ("input.b", "greater_than", 1, True),
        ("input.b", "<=", 1.5, True),
        ("input.s", "starts_with", "hush", True),
        ("input.s", "contains", "sh-h", True),
        ("input.l", "contains", 3, True),
        ("input.a", "in", [1, 2], True),
        ("input.a", "not_in", [1, 2], False),
        ("steps.one.output.x", "gte", "${input.a}", True),
    ],
)
def test_object_form_decides_when_operands_fit(field: str, operator: str, value: Any, holds: bool) -> None:
    condition = {"field": field, "operator": operator, "value": value}
    assert cel.check_condition(condition).problems == ()
    assert cel.evaluate_condition(condition, CONTEXT).holds is holds


@pytest.mark.parametrize(("operator", "holds"), [("exists", False), ("not_exists", True)])
def test_object_form_asks_for_presence_when_a_field_is_absent(operator: str, holds: bool) -> None:
    assert cel.evaluate_condition({"field": "input.zz", "operator": operator}, CONTEXT).holds is holds


@pytest.mark.parametrize(
    ("condition", "code", "pointer"),
    [
        ({"field": "input.zz", "operator": "eq", "value": 1}, "MISSING_PATH", "/input/zz"),
        ({"field": "input.s", "operator": "gt", "value": 1}, "EXPRESSION_FAILED", "/input/s"),
        ({"field": "input.t", "operator": "gt", "value": 1}, "EXPRESSION_FAILED", "/input/t"),
    ],
)
def test_object_form_is_an_error_when_it_cannot_be_decided(condition: Any, code: str, pointer: str) -> None:
    with pytest.raises(MappingError) as raised:
        cel.evaluate_condition(condition, CONTEXT)
    assert (raised.value.problems[0].code, raised.value.problems[0].pointer) == (code, pointer)


@pytest.mark.parametrize(
    ("condition", "code", "pointer"),
    [
        (5, "INVALID_CONDITION", "/c"),
        ({"field": "a", "operator": "eq", "value": 1}, "UNKNOWN_REFERENCE", "/c/field"),
        ({"field": "input.a", "operator": "eqals", "value": 1}, "UNKNOWN_OPERATOR", "/c/operator"),
        ({"field": "input.a", "operator": "gt"}, "INVALID_CONDITION", "/c/value"),
        ({"field": "input.a", "operator": "exists", "value": 1}, "INVALID_CONDITION", "/c/value"),
        ({"field": "input.a", "operator": "eq", "value": 1, "vlaue": 1}, "UNKNOWN_FIELD", "/c/vlaue"),
        ({"field": "input.a", "operator": "eq", "value": "${1+}"}, "INVALID_EXPRESSION", "/c/value"),
    ],
)
def test_problem_is_reported_when_an_object_form_is_wrong(condition: Any, code: str, pointer: str) -> None:
    problems = cel.check_condition(condition, "/c").problems
    assert [(problem.code, problem.pointer) for problem in problems] == [(code, pointer)]


def test_mapping_keeps_types_when_a_text_is_one_expression() -> None:
    mapping: Any = {
        "whole": "${input.l}",
        "text": "n=${input.b} ${input.l} ${input.n} $${kept}",
        "nested": [{"x": "${ {'a': '}'} }"}],
        "plain": 5,
    }
    assert cel.resolve(mapping, CONTEXT) == {
        "whole": [3, 1],
        "text": "n=1.5 [3,1] null ${kept}",
        "nested": [{"x": {"a": "}"}}],
        "plain": 5,
    }


def test_mapping_error_names_path_and_place_when_a_field_is_missing() -> None:
    with pytest.raises(MappingError) as raised:
        cel.resolve({"a": ["${input.zz}"]}, CONTEXT)
    assert raised.value.problems[0].pointer == "/input/zz"
    assert "/a/0" in raised.value.detail


def test_problem_is_reported_when_a_mapping_is_wrong() -> None:
    problems = cel.check_mapping({"a": "${input", "b": ["${1+}"]}, "/m").problems
    assert [problem.pointer for problem in problems] == ["/m/a", "/m/b/0"]
    deep: Any = "x"
    for _ in range(50):
        deep = [deep]
    assert cel.check_mapping(deep).problems[0].code == "TOO_DEEP"


def test_results_are_equal_when_processes_differ() -> None:
    program = (
        "import json; from playbooks.expressions.cel import evaluate;"
        "print(json.dumps(evaluate(\"{'z': 1, 'a': 2, 'm': {'q': 1, 'b': 2, 'k': 3}, 'c': 4}\", {})))"
    )
    answers = {subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout for _ in "ab"}
    assert answers == {b'{"a": 2, "c": 4, "m": {"b": 2, "k": 3, "q": 1}, "z": 1}\n'}


def test_results_are_equal_when_threads_share_an_expression() -> None:
    text = "input.l.map(x, x + 1).filter(x, x > 2)"
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: cel.evaluate(text, CONTEXT), range(400)))
    assert answers == [[4]] * 400


@settings(max_examples=30, deadline=None)
@given(st.text(max_size=60))
def test_check_is_total_when_text_is_anything(text: str) -> None:
    checked = cel.check(text)
    assert all(problem.severity == "error" for problem in checked.problems)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.from_regex("[a-z]{1,6}", fullmatch=True), inner),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(json_values)
def test_value_comes_back_unchanged_when_it_passes_the_engine(value: Any) -> None:
    # The parentheses prevent the shortcut for a bare path.
    assert cel.evaluate("[input.v][0]", {"input": {"v": value}}) == value

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from playbooks.common.errors import InputError, NotSupportedError, ValidationError
from playbooks.document.model import PlaybookDocument, read_document, snake_case
from tests.playbooks.building import EXAMPLES, Change, changed, grants, human, playbook, system


def refused(change: Change) -> tuple[type[InputError], list[tuple[str, str]]]:
    with pytest.raises(InputError) as raised:
        read_document(changed(grants(), change))
    return raised.type, sorted((problem.code, problem.pointer) for problem in raised.value.problems)


def step(index: int, **fields: Any) -> Change:
    return lambda document: document["steps"][index].update(fields)


@pytest.mark.parametrize(
    ("change", "problems"),
    [
        (step(0, joinn={}), [("UNKNOWN_FIELD", "/steps/0/joinn")]),
        (lambda d: d.update(versoin=1), [("UNKNOWN_FIELD", "/versoin")]),
        (lambda d: d["policies"].update(retyr={}), [("UNKNOWN_FIELD", "/policies/retyr")]),
        (step(3, approval={"max_voter": 1}), [("UNKNOWN_FIELD", "/steps/3/approval/max_voter")]),
        (step(1, dependencies=[{"depend_on": 1}]), [("UNKNOWN_FIELD", "/steps/1/dependencies/0/depend_on")]),
        (step(0, step_number="1"), [("WRONG_TYPE", "/steps/0/step_number")]),
        (step(0, condition=5), [("WRONG_TYPE", "/steps/0/condition")]),
        (step(0, cost={"unit_amount": "25"}), [("WRONG_TYPE", "/steps/0/cost/unit_amount")]),
        (step(0, cost={"unit_amount": -1}), [("OUT_OF_RANGE", "/steps/0/cost/unit_amount")]),
        (step(0, step_type="sytem"), [("NOT_ALLOWED", "/steps/0/step_type")]),
        (step(0, retry={"retry_on_errors": ["oops"]}), [("NOT_ALLOWED", "/steps/0/retry/retry_on_errors/0")]),
        (step(0, retry={"max_retries": -1}), [("OUT_OF_RANGE", "/steps/0/retry/max_retries")]),
        (step(3, approval={"consensus": 1.2}), [("OUT_OF_RANGE", "/steps/3/approval/consensus")]),
        (step(3, approval={"window_minutes": 0}), [("OUT_OF_RANGE", "/steps/3/approval/window_minutes")]),
        (lambda d: d.pop("name"), [("REQUIRED", "/name")]),
        (lambda d: d["steps"][1].pop("worker_type"), [("REQUIRED", "/steps/1/worker_type")]),
        (lambda d: d.update(code="Grants"), [("PATTERN", "/code")]),
        (lambda d: d.update(industry="x"), [("PATTERN", "/industry")]),
        (lambda d: d.update(steps={}), [("WRONG_TYPE", "/steps")]),
        (step(1, step_number=1), [("DUPLICATE", "/steps/1/step_number")]),
        (step(1, name="Register  application!"), [("DUPLICATE", "/steps/1/name")]),
        (step(1, key="register_application"), [("DUPLICATE", "/steps/1/key")]),
        (step(1, key="in"), [("RESERVED_NAME", "/steps/1/key")]),
        (step(1, description="a\0"), [("INVALID_TEXT", "/steps/1/description")]),
    ],
)
def test_document_is_refused_with_pointers_when_its_shape_is_wrong(
    change: Change, problems: list[tuple[str, str]]
) -> None:
    kind, found = refused(change)
    assert kind is ValidationError
    assert found == problems


@pytest.mark.parametrize(
    ("change", "pointers"),
    [
        (lambda d: d["policies"].update(sla={}, retention_days=5), ["/policies/retention_days", "/policies/sla"]),
        (step(1, worker_type="universal_api"), ["/steps/1/worker_type"]),
        (step(1, step_type="external", worker_type="webhook"), ["/steps/1/worker_type"]),
        (step(2, config={"provider": "openai"}), ["/steps/2/config/provider"]),
        (lambda d: d["steps"][2]["config"].update(fallback=[]), ["/steps/2/config/fallback"]),
        (
            step(1, step_type="external", worker_type="http_request", config={"auth": {"type": "hmac"}}),
            ["/steps/1/config/auth/type"],
        ),
    ],
)
def test_document_is_not_supported_when_a_field_is_not_built(change: Change, pointers: list[str]) -> None:
    kind, found = refused(change)
    assert kind is NotSupportedError
    assert found == [("NOT_SUPPORTED", pointer) for pointer in pointers]


def test_document_is_invalid_when_more_than_unbuilt_fields_are_wrong() -> None:
    kind, found = refused(step(1, worker_type="universal_api", nmae="x"))
    assert kind is ValidationError
    assert sorted(code for code, _ in found) == ["NOT_SUPPORTED", "UNKNOWN_FIELD"]


def test_document_comes_back_unchanged_when_it_was_read() -> None:
    for document in (grants(), playbook(system(2, "B", dependencies=None), human(1, "A", critical=False))):
        text = json.dumps(document, sort_keys=True)
        assert json.dumps(read_document(document).to_json(), sort_keys=True) == text


def test_fields_are_accepted_when_they_only_describe() -> None:
    read_document(playbook(system(1, "A", side_effects="none", metadata={"a": [1]}, required_roles=["system"])))


@pytest.mark.parametrize("name", ["add_steps", "parallel_steps", "human_step"])
def test_fragments_are_accepted_when_completed_with_names_and_numbers(name: str) -> None:
    body = json.loads((EXAMPLES / "requests.json").read_text())[name]
    fragments = body if isinstance(body, list) else body.get("steps", [body])
    steps = [{"name": f"Step {n}", "step_number": n, **fragment} for n, fragment in enumerate(fragments, 1)]
    assert len(read_document(playbook(*steps)).steps) == len(steps)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("Register Application", "register_application"),
        ("  Prüfung & Co. ", "prufung_co"),
        ("2nd look", "step_2nd_look"),
        ("In", "step_in"),
        ("審査", ""),
    ],
)
def test_key_is_derived_when_a_step_has_none(name: str, key: str) -> None:
    assert snake_case(name) == key
    document = read_document(playbook(system(7, name)))
    assert document.steps[0].step_key == (key or "step_7")


def test_steps_are_ordered_when_written_in_another_order() -> None:
    document = read_document(playbook(system(9, "B"), system(1, "A")))
    assert [step.step_number for step in document.ordered_steps] == [1, 9]


def test_document_is_refused_when_it_is_too_large() -> None:
    steps = [system(n, f"S{n}", metadata={"x": "y" * 9_000}) for n in range(1, 130)]
    with pytest.raises(ValidationError) as raised:
        read_document(playbook(*steps))
    assert raised.value.problems[0].code == "TOO_LARGE"


places = st.sampled_from(
    ["name", "code", "steps", "policies", "output", "input_contract", "step_number", "config", "approval", "retry"]
)
junk = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(places | st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=40, deadline=None)
@given(junk, places, st.integers(0, 4), st.booleans())
def test_reading_is_total_when_a_part_is_anything(part: Any, place: str, index: int, whole: bool) -> None:
    document: Any = part if whole else grants()
    if not whole:
        target = document if place in document else document["steps"][index]
        target[place] = part
    try:
        assert isinstance(read_document(document), PlaybookDocument)
    except InputError as error:
        assert error.problems


def test_numbers_steps_in_order_when_their_numbers_are_left_out() -> None:
    steps: list[Any] = [{"name": name, "step_type": "system", "worker_type": "data_processor"} for name in ("A", "B")]
    steps.append({"name": "C", "step_type": "system", "worker_type": "data_processor", "step_number": 10})
    steps.append({"name": "D", "step_type": "system", "worker_type": "data_processor"})
    document = read_document({"name": "N", "code": "numbers", "industry": "TESTING", "steps": steps})
    assert [step.step_number for step in document.steps] == [1, 2, 10, 11]

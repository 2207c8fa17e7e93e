"""Steps are added, replaced and removed; numbers follow and nothing else changes its meaning."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playbooks.common.errors import InputError, InvalidStepStateError, NotFoundError, NotSupportedError, ValidationError
from playbooks.compiler.order import resolve_order
from playbooks.document.editing import add_steps, remove_step, renumbered, replace_step
from playbooks.document.model import MAX_STEP_NUMBER, MAX_STEPS, read_document
from playbooks.document.step_references import key_of, referrers_of
from tests.playbooks.building import Document, grants, human, plan_of, playbook, system
from tests.playbooks.random_documents import documents


def dependencies(document: Any) -> dict[str, Any]:
    """Return the dependencies of each step of the compiled plan, by key, in order."""
    return {step.key: step.dependencies for step in plan_of(document).steps}


def numbers(document: Any) -> dict[str, int]:
    return {step.step_key: step.step_number for step in read_document(document).ordered_steps}


def depends_on(number: int, **fields: Any) -> dict[str, Any]:
    return {"dependencies": [{"depends_on_step_number": number, **fields}]}


# -- renumbering -----------------------------------------------------------------------------------------------------


@given(documents(), st.integers(0, 45), st.integers(1, 30))
def test_renumbering_keeps_meaning_when_a_gap_is_opened_and_closed(written: Document, behind: int, by: int) -> None:
    before = copy.deepcopy(written)
    opened = renumbered(written, behind=behind, by=by)
    assert written == before
    assert dependencies(opened) == dependencies(written)
    assert list(numbers(opened)) == list(numbers(written))
    moved = {key: number + by if number > behind else number for key, number in numbers(written).items()}
    assert numbers(opened) == moved
    closed = renumbered(opened, behind=behind, by=-by)
    assert numbers(closed) == numbers(written)
    assert dependencies(closed) == dependencies(written)


@given(documents(), st.data())
def test_what_names_a_step_names_it_still_when_steps_are_inserted(written: Document, data: st.DataObject) -> None:
    after = data.draw(st.sampled_from([0, *numbers(written).values()]))
    sent = [system(1, "New One"), system(2, "審査", **depends_on(1))]
    if 1 in numbers(written).values():
        del sent[1]["dependencies"]
    changed = add_steps(written, sent, mode="insert", after=after)
    explicit = {key for key, edges in resolve_order(read_document(written)).edges.items() if edges}
    old, new = dependencies(written), dependencies(changed.to_json())
    assert {key: new[key] for key in explicit} == {key: old[key] for key in explicit}
    order = [step.step_key for step in changed.ordered_steps]
    assert [key for key in order if key in old] == list(old)
    place = sum(number <= after for number in numbers(written).values())
    assert order[place] == "new_one"
    assert [step.step_key for step in changed.steps] == order


@given(documents(least=2), st.data())
def test_the_others_keep_their_keys_and_targets_when_a_step_is_removed(written: Document, data: st.DataObject) -> None:
    key, number = data.draw(st.sampled_from(list(numbers(written).items())))
    is_closed = data.draw(st.booleans())
    try:
        left = remove_step(written, number, renumber=is_closed)
    except InvalidStepStateError as error:
        assert {each.code for each in error.problems} == {"STEP_IN_USE"}
        return
    explicit = {other for other, edges in resolve_order(read_document(written)).edges.items() if edges} - {key}
    old, new = dependencies(written), dependencies(left.to_json())
    assert {other: new[other] for other in explicit} == {other: old[other] for other in explicit}
    assert [each.step_key for each in left.ordered_steps] == [other for other in numbers(written) if other != key]


def test_fields_that_are_not_known_survive_when_numbers_move() -> None:
    written = playbook(system(1, "One"), system(2, "Two", later={"x": [1]}, on_error={"action": "goto", "step": 3}))
    moved = renumbered({**written, "later": True}, behind=1, by=4)
    assert moved["later"] is True
    assert moved["steps"] == [
        system(1, "One"),
        system(6, "Two", later={"x": [1]}, on_error={"action": "goto", "step": 7}),
    ]


@pytest.mark.parametrize("step", [None, 3, "text", [], {"dependencies": 3}, {"step_number": True, "on_error": []}])
def test_nothing_is_touched_when_a_step_is_nonsense(step: Any) -> None:
    assert renumbered({"steps": [step]}, behind=0, by=1)["steps"] == [step]
    assert renumbered({"steps": step}, behind=0, by=1)["steps"] == (step if isinstance(step, list) else [])


# -- adding ----------------------------------------------------------------------------------------------------------


def test_steps_follow_the_last_one_when_they_are_appended() -> None:
    written = playbook(system(10, "One"), system(20, "Two"))
    changed = add_steps(written, [system(2, "Four"), system(1, "Three")], mode="append")
    assert numbers(changed.to_json()) == {"one": 10, "two": 20, "three": 21, "four": 22}
    assert add_steps(playbook(), [system(7, "One")], mode="append").steps[0].step_number == 1


def test_later_steps_move_up_when_steps_are_inserted() -> None:
    changed = add_steps(grants(), [system(1, "Log"), system(2, "Log Again")], mode="insert", after=2).to_json()
    assert list(numbers(changed).items())[1:5] == [
        ("eligibility_screen", 2),
        ("log", 3),
        ("log_again", 4),
        ("score_proposal", 5),
    ]
    steps: Any = changed["steps"]
    assert steps[4]["dependencies"][0]["depends_on_step_number"] == 2
    assert steps[5]["dependencies"][0]["depends_on_step_number"] == 5
    assert dependencies(changed)["committee_review"] == dependencies(grants())["committee_review"]


def test_numbers_mean_the_steps_of_either_side_when_only_one_has_them() -> None:
    written = playbook(system(1, "One"), system(2, "Two"), system(3, "Three"))
    sent = [
        system(1, "First", **depends_on(1)),  # its own number: the step that was there
        system(8, "Second", **depends_on(3)),  # only there
        system(9, "Third", **depends_on(8)),  # only sent
    ]
    waits = dependencies(add_steps(written, sent, mode="insert", after=3).to_json())
    assert [waits[key][0].step for key in ("first", "second", "third")] == ["one", "three", "second"]


def test_a_number_is_refused_when_it_could_be_two_steps() -> None:
    written = playbook(system(1, "One"), system(2, "Two"))
    sent = [system(1, "Three"), system(2, "Four", **depends_on(1))]
    with pytest.raises(ValidationError) as refused:
        add_steps(written, sent, mode="append")
    assert [(each.pointer, each.code) for each in refused.value.problems] == [
        ("/steps/1/dependencies/0/depends_on_step_number", "AMBIGUOUS_REFERENCE")
    ]


def test_a_key_stays_free_when_numbers_make_it() -> None:
    written = playbook(system(1, "一"), system(2, "二"))
    changed = add_steps(written, [system(1, "三"), system(2, "四")], mode="insert", after=1)
    assert [(step.name, step.step_key) for step in changed.steps] == [
        ("一", "step_1"),
        ("三", "step_2_2"),
        ("四", "step_3"),
        ("二", "step_2"),
    ]


@pytest.mark.parametrize(
    ("sent", "mode", "after", "found"),
    [
        ([], "append", None, ("/steps", "LENGTH")),
        ([system(1, "New")], "append", 1, ("/insert_after_step", "NOT_ALLOWED")),
        ([system(1, "New")], "insert", None, ("/insert_after_step", "REQUIRED")),
        ([system(1, "New")], "insert", 7, ("/insert_after_step", "UNKNOWN_STEP")),
        ([system(1, "New"), system(1, "Newer")], "append", None, ("/steps/1/step_number", "DUPLICATE")),
        ([system(1, "New"), system(2, "One")], "insert", 0, ("/steps/1/name", "DUPLICATE")),
        ([system(1, "New", key="one")], "insert", 0, ("/steps/0/key", "DUPLICATE")),
        ([system(0, "New")], "append", None, ("/steps/0/step_number", "OUT_OF_RANGE")),
        ([{**system(1, "New"), "step_number": "1"}], "append", None, ("/steps/0/step_number", "WRONG_TYPE")),
        ([{**system(1, "New"), "step_number": True}], "append", None, ("/steps/0/step_number", "WRONG_TYPE")),
        ([system(1, "New", colour="red")], "insert", 1, ("/steps/0/colour", "UNKNOWN_FIELD")),
        ([system(1, "New"), 3], "append", None, ("/steps/1", "WRONG_TYPE")),
        ([system(n, f"New {n}") for n in range(1, MAX_STEPS + 1)], "append", None, ("/steps", "LENGTH")),
        ([system(1, "New", colour="red")], "replace", None, ("/steps/0/colour", "UNKNOWN_FIELD")),
    ],
)
def test_adding_is_refused_with_a_pointer_into_what_was_sent_when_it_is_wrong(
    sent: list[Any], mode: Any, after: int | None, found: tuple[str, str]
) -> None:
    with pytest.raises(ValidationError) as refused:
        add_steps(playbook(system(1, "One"), system(2, "Two")), sent, mode=mode, after=after)
    first = refused.value.problems[0]
    assert (first.pointer, first.code) == found


def test_adding_is_refused_when_numbers_end() -> None:
    written = playbook(system(1, "One"), system(MAX_STEP_NUMBER, "Last"))
    for mode, after in (("append", None), ("insert", 1)):
        with pytest.raises(ValidationError) as refused:
            add_steps(written, [system(1, "New")], mode=mode, after=after)  # type: ignore[arg-type]
        assert refused.value.problems[0].code == "OUT_OF_RANGE"


def test_an_unsupported_step_is_reported_when_it_is_added() -> None:
    with pytest.raises(NotSupportedError) as refused:
        add_steps(playbook(system(1, "One")), [system(1, "New", worker_type="webhook")], mode="append")
    assert refused.value.problems[0].pointer == "/steps/0/worker_type"


def test_all_steps_are_others_when_they_are_replaced() -> None:
    changed = add_steps(
        playbook(system(1, "One")), [system(5, "New"), system(6, "Newer", **depends_on(5))], mode="replace"
    )
    assert numbers(changed.to_json()) == {"new": 5, "newer": 6}
    assert add_steps(playbook(system(1, "One")), [], mode="replace").steps == []


@given(
    documents(),
    st.lists(
        st.none()
        | st.fixed_dictionaries(
            {},
            optional={
                "name": st.sampled_from([None, "", "New", "新", "Check 3"]),
                "step_number": st.none() | st.booleans() | st.integers(-1, 4),
                "key": st.sampled_from([None, "", "new", "step_3"]),
                "step_type": st.just("system"),
                "worker_type": st.just("data_processor"),
                "dependencies": st.none() | st.lists(st.none() | st.just({"depends_on_step_number": 1}), max_size=2),
            },
        ),
        max_size=3,
    ),
    st.sampled_from(["append", "insert", "replace"]),
    st.none() | st.integers(-1, 41),
)
def test_adding_answers_a_document_or_pointers_when_anything_is_sent(
    written: Document, sent: list[Any], mode: Any, after: int | None
) -> None:
    try:
        changed = add_steps(written, sent, mode=mode, after=after)
    except InputError as error:
        assert error.problems
        assert all(each.pointer.startswith(("/steps", "/insert_after_step")) for each in error.problems)
        return
    assert read_document(changed.to_json()) == changed


# -- one step --------------------------------------------------------------------------------------------------------


def test_a_step_is_another_when_it_is_replaced() -> None:
    written = playbook(system(2, "Two"), system(1, "One"), system(3, "Three", **depends_on(1)))
    changed = replace_step(written, 1, {"name": "One", "step_type": "system", "worker_type": "timer", "config": {}})
    assert [(step.step_number, step.worker_type) for step in changed.steps] == [
        (2, "data_processor"),
        (1, "timer"),
        (3, "data_processor"),
    ]


@pytest.mark.parametrize(
    ("sent", "found"),
    [
        (system(2, "One"), ("/step_number", "NOT_ALLOWED")),
        ({**system(1, "One"), "colour": 1}, ("/colour", "UNKNOWN_FIELD")),
        (system(1, "Two"), ("/name", "DUPLICATE")),
        ({}, ("/name", "REQUIRED")),
        (None, ("", "WRONG_TYPE")),
        ([], ("", "WRONG_TYPE")),
    ],
)
def test_replacing_is_refused_with_a_pointer_into_the_step_when_it_is_wrong(sent: Any, found: tuple[str, str]) -> None:
    with pytest.raises(ValidationError) as refused:
        replace_step(playbook(system(1, "One"), system(2, "Two")), 1, sent)
    assert found in [(each.pointer, each.code) for each in refused.value.problems]


def test_a_key_cannot_go_when_others_name_it() -> None:
    written = playbook(system(1, "One"), system(2, "Two", condition="steps.one.status == 'completed'"))
    with pytest.raises(InvalidStepStateError) as refused:
        replace_step(written, 1, system(1, "Renamed"))
    assert [each.pointer for each in refused.value.problems] == ["/steps/1/condition"]
    assert replace_step(written, 1, system(1, "Renamed", key="one")).steps[0].name == "Renamed"
    # The number stays, so references by number stay valid.
    by_number = playbook(system(1, "One"), system(2, "Two", **depends_on(1)))
    assert replace_step(by_number, 1, system(1, "Renamed")).steps[0].step_key == "renamed"


def test_the_gap_is_closed_only_when_that_is_asked() -> None:
    written = playbook(system(1, "One"), system(2, "Two"), system(3, "Three"), system(4, "Four", **depends_on(3)))
    assert numbers(remove_step(written, 2).to_json()) == {"one": 1, "three": 3, "four": 4}
    closed = remove_step(written, 2, renumber=True).to_json()
    assert numbers(closed) == {"one": 1, "three": 2, "four": 3}
    assert dependencies(closed)["four"][0].step == "three"


def test_a_step_is_not_found_when_no_step_has_the_number() -> None:
    change: Callable[[], object]
    for change in (lambda: remove_step(playbook(), 1), lambda: replace_step(playbook(system(2, "Two")), 1, {})):
        with pytest.raises(NotFoundError):
            change()


# -- what names a step -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "pointers"),
    [
        (system(2, "Two", **depends_on(1)), ["/dependencies/0/depends_on_step_number"]),
        (system(2, "Two", dependencies=[{"depends_on": "one"}]), ["/dependencies/0/depends_on"]),
        (system(2, "Two", on_error={"action": "goto", "step": 1}), ["/on_error/step"]),
        (system(2, "Two", on_error={"action": "goto", "step": "one"}), ["/on_error/step"]),
        (
            system(2, "Two", repeat={"while": "steps.one.output.x", "max": 2, "from": "one"}),
            ["/repeat/from", "/repeat/while"],
        ),
        (human(2, "Two", approval={"return_to_step": {"step": "one"}}), ["/approval/return_to_step/step"]),
        (human(2, "Two", approval={"different_from": ["zero", "one"]}), ["/approval/different_from/1"]),
        (system(2, "Two", condition="steps['one'].status == 'x'"), ["/condition"]),
        (system(2, "Two", condition={"field": "steps.one.output.x", "operator": "exists"}), ["/condition/field"]),
        (system(2, "Two", input={"a": "${steps . one.output}"}), ["/input/a"]),
        (system(2, "Two", config={"output": {"a/b": ['x ${steps["one"].output} y']}}), ["/config/output/a~1b/0"]),
        (system(2, "Two", for_each={"items": "${steps.one.output.list}"}), ["/for_each/items"]),
        (system(2, "Two", input={"a": "${steps.one_more.output + mysteps.one}"}), []),
        (system(2, "Two", input={"a": "steps.one ${input.x}"}), []),
        (system(2, "Two", description="after steps.one", metadata={"x": "steps.one"}), []),
        (system(2, "Two", **depends_on(2)), []),
    ],
)
def test_references_to_a_step_are_found(step: Document, pointers: list[str]) -> None:
    written = playbook(system(1, "One"), step)
    found = referrers_of(written, "one", 1)
    assert [each.pointer for each in found] == [f"/steps/1{pointer}" for pointer in pointers]
    assert {each.step for each in found} <= {"two"}


def test_the_output_is_reported_when_it_names_a_step() -> None:
    written = playbook(system(1, "One", condition="steps.one.status"), output={"a": "${steps.one.output.a}"})
    found = referrers_of(written, "one", 1)
    assert [(each.step, each.pointer, each.way) for each in found] == [(None, "/output/a", "expression")]
    with pytest.raises(InvalidStepStateError, match="the playbook's output names it"):
        remove_step(written, 1)


@pytest.mark.parametrize("step", [None, 1, {}, {"name": 3, "step_number": 1}, {"name": "", "step_number": True}])
def test_a_step_has_no_key_when_it_is_nonsense(step: Any) -> None:
    assert key_of(step) is None

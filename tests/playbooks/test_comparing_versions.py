"""Two versions of a playbook compared."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given

from playbooks.compiler.diff import VersionComparison, compare_versions
from playbooks.document.editing import add_steps, renumbered
from playbooks.document.model import read_document
from tests.playbooks.building import Document, changed, grants, human, playbook, system
from tests.playbooks.random_documents import documents


def compared(before: Any, after: Any) -> VersionComparison:
    return compare_versions(read_document(before), read_document(after))


def test_nothing_differs_when_only_numbers_are_others() -> None:
    found = compared(grants(), renumbered(grants(), behind=2, by=40))
    assert found.is_equal
    assert not (found.changed or found.reordered or found.added or found.removed)


@given(documents())
def test_nothing_differs_when_random_documents_are_renumbered(written: Document) -> None:
    assert compared(written, renumbered(written, behind=3, by=7)).is_equal


@given(documents(), documents())
def test_every_step_is_reported_once(old: Document, new: Document) -> None:
    found = compared(old, new)
    keys = [{step.step_key for step in read_document(each).steps} for each in (old, new)]
    assert {step.key for step in found.added} == keys[1] - keys[0]
    assert {step.key for step in found.removed} == keys[0] - keys[1]
    assert {step.key for step in found.changed} | {step.key for step in found.reordered} <= keys[0] & keys[1]
    back = compared(new, old)
    assert {step.key for step in back.added} == {step.key for step in found.removed}
    assert len(back.reordered) == len(found.reordered)
    assert compared(old, old).is_equal


def test_steps_are_added_removed_and_wait_for_others_when_one_is_exchanged() -> None:
    before = playbook(system(1, "One"), system(2, "Two"), system(3, "Three"))
    after = playbook(system(1, "One"), system(2, "New"), system(3, "Three"))
    found = compared(before, after)
    assert [(step.key, step.step_number) for step in (*found.added, *found.removed)] == [("new", 2), ("two", 2)]
    assert [(each.key, each.fields, each.waits_for) for each in found.changed] == [("three", (), (("two",), ("new",)))]
    assert found.reordered == ()


def test_as_few_steps_as_possible_moved_when_the_order_is_another() -> None:
    before = playbook(*(system(n, f"S{n}") for n in range(1, 6)))
    after = playbook(*(system(n, f"S{name}") for n, name in enumerate((5, 1, 2, 3, 4), 1)))
    assert [(move.key, move.before, move.after) for move in compared(before, after).reordered] == [("s5", 5, 1)]


def test_changed_fields_are_reported_with_both_values() -> None:
    def change(document: Document) -> None:
        document["description"] = "Other"
        del document["module"]
        document["policies"]["budget"]["max_cost"] = 50.0
        document["policies"]["retry"] = None
        document["input_contract"]["properties"]["amount_requested"]["maximum"] = 200000
        step = document["steps"][3]
        step["approval_threshold"] = 2
        step["output_contract"]["required"].append("notes")

    found = compared(grants(), changed(grants(), change))
    assert [(each.pointer, each.before is None, each.after) for each in found.fields] == [
        ("/module", False, None),
        ("/description", False, "Other"),
    ]
    assert ("/policies/budget/max_cost", 100.0, 50.0) in [(p.pointer, p.before, p.after) for p in found.policies]
    assert ("/policies/retry/max_retries", 3, None) in [(p.pointer, p.before, p.after) for p in found.policies]
    assert {name: each.direction for name, each in found.contracts.items()} == {"input_contract": "loosened"}
    (step,) = found.changed
    assert (step.key, step.waits_for) == ("committee_review", None)
    assert [(each.pointer, each.before, each.after) for each in step.fields] == [("/approval_threshold", 3, 2)]
    assert step.contracts["output_contract"].direction == "tightened"
    assert not found.is_equal


@pytest.mark.parametrize("named", [{"depends_on_step_number": 1}, {"depends_on": "one"}])
def test_a_dependency_is_the_same_when_it_is_named_otherwise(named: dict[str, Any]) -> None:
    before = playbook(system(1, "One"), system(2, "Two", dependencies=[{"depends_on_step_number": 1}]))
    after = playbook(human(5, "Zero"), system(7, "Two", dependencies=[named]), system(6, "One", dependencies=[]))
    if "depends_on_step_number" in named:
        named["depends_on_step_number"] = 6
    found = compared(before, after)
    assert [each.key for each in found.changed] == ["one"]
    assert [each.pointer for each in found.changed[0].fields] == ["/dependencies"]


def test_the_comparison_is_json_safe_when_documents_are_large() -> None:
    written = playbook(*(system(n, f"Step {n}") for n in range(1, 401)))
    longer = add_steps(written, [system(1, "New")], mode="insert", after=200).to_json()
    found = compared(written, longer)
    assert [step.key for step in found.added] == ["new"]
    assert [(each.key, each.waits_for) for each in found.changed] == [("step_201", (("step_200",), ("new",)))]
    assert json.dumps([each.before for each in found.fields]) == "[]"

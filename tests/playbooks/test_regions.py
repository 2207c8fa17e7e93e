"""Regions that exclude each other: a deadlock is refused, and only a deadlock."""

from __future__ import annotations

from typing import Any

import pytest

from tests.playbooks.building import Document, found, human, playbook
from tests.playbooks.simulating import played


def step(number: int, name: str, region: str | None, *after: str) -> Document:
    mutex: dict[str, Any] = {} if region is None else {"mutex": {"name": "furnace", "region": region}}
    return human(number, name, dependencies=[{"depends_on": key} for key in after], **mutex)


def test_it_is_refused_when_a_region_may_begin_before_the_one_that_it_waits_for() -> None:
    document = playbook(
        step(1, "S", None), step(2, "A1", "a", "s"), step(3, "B1", "b", "s"), step(4, "A2", "a", "a1", "b1")
    )
    assert found(document) == {("DEADLOCK", "/steps/3/mutex")}


def test_it_is_refused_when_a_region_waits_in_its_middle_for_another() -> None:
    document = playbook(step(1, "A1", "a"), step(2, "B1", "b", "a1"), step(3, "A2", "a", "b1"))
    assert found(document) == {("DEADLOCK", "/steps/2/mutex")}


@pytest.mark.parametrize("last", ["a2", "b1"])
def test_it_runs_when_all_of_a_region_comes_after_the_other(last: str) -> None:
    document = playbook(
        step(1, "B1", "b"), step(2, "A1", "a", "b1"), step(3, "A2", "a", "a1", "b1"), step(4, "End", None, last)
    )
    assert found(document) == set()
    assert played(document, approves=True).ending == "completed"

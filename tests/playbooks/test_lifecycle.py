"""Timetables, overrides and side effects: the pure part of the life cycle, each as a table."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from playbooks.common.errors import InvalidTransitionError, Problem, ValidationError, error, warning
from playbooks.lifecycle.overrides import Override, overridden, refuse_unfit, uncovered
from playbooks.lifecycle.schedule import (
    Planned,
    first_impossible,
    refuse_contradiction,
    refuse_gap,
    refuse_overtaking,
    status_at,
)
from playbooks.lifecycle.side_effects import TransitionFacts, side_effects
from playbooks.lifecycle.transitions import Action, PlaybookStatus

T0 = datetime(2026, 11, 1, tzinfo=UTC)


def on(day: int, action: Action) -> Planned:
    return Planned(id=UUID(int=day), action=action, at=T0 + timedelta(days=day))


# -- timetables ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    status: PlaybookStatus
    planned: tuple[Planned, ...] = ()
    new: Planned
    refused: str | None = None


CASES = [
    Case(status="draft", new=on(1, "publish")),
    Case(status="draft", planned=(on(1, "publish"),), new=on(9, "deprecate")),
    Case(status="draft", planned=(on(1, "publish"), on(9, "deprecate")), new=on(10, "archive")),
    Case(status="active", planned=(on(1, "deprecate"), on(5, "deprecate")), new=on(3, "reactivate")),
    Case(status="draft", new=on(1, "deprecate"), refused="/action"),
    Case(status="draft", planned=(on(1, "publish"),), new=on(2, "publish"), refused="/action"),
    Case(status="draft", planned=(on(5, "publish"),), new=on(1, "delete"), refused="/action"),
    Case(status="active", planned=(on(5, "archive"),), new=on(6, "deprecate"), refused="/action"),
    Case(status="deleted", new=on(1, "publish"), refused="/action"),
    Case(
        status="active",
        planned=(on(1, "deprecate"),),
        new=Planned(id=UUID(int=99), action="archive", at=T0 + timedelta(days=1)),
        refused="/effective_date",
    ),
]


@pytest.mark.parametrize("case", CASES)
def test_a_transition_is_scheduled_only_when_it_fits_into_the_others(case: Case) -> None:
    if case.refused is None:
        refuse_contradiction(case.status, case.planned, case.new)
        return
    with pytest.raises(InvalidTransitionError) as refusal:
        refuse_contradiction(case.status, case.planned, case.new)
    assert [each.pointer for each in refusal.value.problems] == [case.refused]


@pytest.mark.parametrize(
    ("to_status", "planned", "is_refused"),
    [
        ("active", (on(1, "publish"),), True),
        ("active", (on(1, "deprecate"),), False),
        ("deprecated", (on(1, "deprecate"),), True),
        ("deleted", (on(1, "publish"), on(2, "deprecate")), False),
        ("active", (), False),
    ],
)
def test_a_transition_now_is_refused_when_a_planned_one_would_be_impossible(
    to_status: PlaybookStatus, planned: tuple[Planned, ...], is_refused: bool
) -> None:
    if is_refused:
        with pytest.raises(InvalidTransitionError):
            refuse_overtaking(to_status, planned)
    else:
        refuse_overtaking(to_status, planned)


def test_a_transition_is_not_cancelled_when_another_relies_on_it() -> None:
    planned = (on(1, "publish"), on(2, "deprecate"))
    with pytest.raises(InvalidTransitionError):
        refuse_gap("draft", planned, planned[0].id)
    refuse_gap("draft", planned, planned[1].id)


def test_anything_can_be_cancelled_when_the_timetable_is_broken_already() -> None:
    planned = (on(1, "deprecate"), on(2, "reactivate"))
    for each in planned:
        refuse_gap("draft", planned, each.id)


def test_status_follows_the_timetable_when_time_passes() -> None:
    planned = (on(5, "archive"), on(1, "publish"), on(3, "deprecate"))
    by_day = [status_at("draft", planned, T0 + timedelta(days=day)) for day in (1, 2, 4, 6)]
    assert by_day == ["draft", "active", "deprecated", "deleted"]
    assert first_impossible("draft", planned) is None
    assert first_impossible("active", planned) == planned[1]


# -- overrides -------------------------------------------------------------------------------------------------------

SPLIT = warning("/steps/1/parallel_group", "GROUP_SPLIT", "split")
ALSO_SPLIT = warning("/steps/4/parallel_group", "GROUP_SPLIT", "split")
PLAIN = warning("/steps/0/config", "NOT_EVALUATED", "not evaluated")
BROKEN = error("/steps/2", "UNKNOWN_REFERENCE", "there is no such step")


@pytest.mark.parametrize(
    ("overrides", "left"),
    [
        ((), (SPLIT, ALSO_SPLIT, PLAIN)),
        ((Override(code="GROUP_SPLIT"),), (PLAIN,)),
        ((Override(code="GROUP_SPLIT", pointer=SPLIT.pointer),), (ALSO_SPLIT, PLAIN)),
        ((Override(code="GROUP_SPLIT"), Override(code="NOT_EVALUATED")), ()),
    ],
)
def test_warnings_are_left_when_no_override_names_them(
    overrides: tuple[Override, ...], left: tuple[Problem, ...]
) -> None:
    found = (SPLIT, ALSO_SPLIT, PLAIN)
    refuse_unfit(overrides, found)
    assert uncovered(overrides, found) == left
    assert {each.pointer for each, _ in overridden(overrides, found)} == {
        each.pointer for each in found if each not in left
    }


@pytest.mark.parametrize(
    ("override", "found", "code"),
    [
        (Override(code="UNKNOWN_REFERENCE"), (SPLIT, PLAIN, BROKEN), "NOT_ALLOWED"),
        (Override(code="UNKNOWN_REFERENCE", pointer=BROKEN.pointer), (SPLIT, BROKEN), "NOT_ALLOWED"),
        (Override(code="NOSUCH"), (SPLIT, PLAIN), "NOT_FOUND"),
        (Override(code="GROUP_SPLIT", pointer="/steps/9"), (SPLIT, PLAIN), "NOT_FOUND"),
        (Override(code="GROUP_SPLIT", pointer=""), (SPLIT, PLAIN), "NOT_FOUND"),
    ],
)
def test_an_override_is_refused_when_it_names_an_error_or_nothing(
    override: Override, found: tuple[Problem, ...], code: str
) -> None:
    with pytest.raises(ValidationError) as refusal:
        refuse_unfit([Override(code="GROUP_SPLIT"), override], found)
    assert [(each.pointer, each.code) for each in refusal.value.problems] == [("/validation_overrides/1", code)]


def test_an_override_of_nothing_passes_when_errors_hide_what_there_is_to_override() -> None:
    refuse_unfit([Override(code="NOSUCH")], (BROKEN,))


def test_the_first_reason_counts_when_two_overrides_name_one_warning() -> None:
    pairs = overridden([Override(code="GROUP_SPLIT", reason="a"), Override(code="GROUP_SPLIT", reason="b")], [SPLIT])
    assert [(found.code, override.reason) for found, override in pairs] == [("GROUP_SPLIT", "a")]


# -- side effects ----------------------------------------------------------------------------------------------------

OTHER = (UUID(int=1), 1)


@pytest.mark.parametrize(
    ("facts", "kinds"),
    [
        (TransitionFacts(action="publish", version=1), ["new_runs_allowed"]),
        (TransitionFacts(action="publish", version=2, others=(OTHER,)), ["new_runs_allowed", "version_stays_active"]),
        (
            TransitionFacts(action="deprecate", version=2, others=(OTHER,), live_runs=3),
            ["new_runs_refused", "version_stays_active", "live_runs_finish"],
        ),
        (TransitionFacts(action="deprecate", version=1), ["new_runs_refused", "no_active_version"]),
        (TransitionFacts(action="reactivate", version=1, live_runs=3), ["new_runs_allowed"]),
        (
            TransitionFacts(action="archive", version=1, live_runs=2, withdrawn=((UUID(int=5), "deprecate"),)),
            ["new_runs_refused", "no_active_version", "live_runs_cancelled", "schedule_withdrawn"],
        ),
        (TransitionFacts(action="delete", version=1), []),
        (
            TransitionFacts(action="publish", version=1, overridden=2, notifies=True),
            ["new_runs_allowed", "warnings_overridden", "notification_recorded"],
        ),
    ],
)
def test_transition_reports_everything_it_affects(facts: TransitionFacts, kinds: list[str]) -> None:
    effects = side_effects(facts)
    assert [each.kind for each in effects] == kinds
    assert all(each.message for each in effects)

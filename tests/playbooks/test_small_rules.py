"""Life cycle, grades and smart codes: small tables, each tested whole."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playbooks.common import smart_codes
from playbooks.common.errors import InvalidActionError, InvalidTransitionError
from playbooks.engine.grading import GradeFacts, grade
from playbooks.lifecycle import transitions

STATUSES: tuple[transitions.PlaybookStatus, ...] = ("draft", "active", "deprecated", "deleted")


@pytest.mark.parametrize(("status", "action"), list(itertools.product(STATUSES, transitions.ACTIONS)))
def test_action_is_allowed_exactly_when_it_leads_somewhere(
    status: transitions.PlaybookStatus, action: transitions.Action
) -> None:
    if action in transitions.allowed_actions(status):
        following = transitions.next_status(status, action)
        assert following not in (status, "draft"), "what has left the draft never returns to it"
        assert (following == "deleted") == (action in ("archive", "delete"))
    else:
        with pytest.raises(InvalidTransitionError):
            transitions.next_status(status, action)


def test_life_of_a_version() -> None:
    status: transitions.PlaybookStatus = "draft"
    for action, following in (
        ("publish", "active"),
        ("deprecate", "deprecated"),
        ("reactivate", "active"),
        ("archive", "deleted"),
    ):
        status = transitions.next_status(status, action)
        assert status == following
    assert transitions.allowed_actions("deleted") == ()


def test_only_a_draft_is_published_or_deleted() -> None:
    for action in ("publish", "delete"):
        assert [status for status in STATUSES if action in transitions.allowed_actions(status)] == ["draft"]


def test_every_version_can_be_archived_until_it_is_deleted() -> None:
    assert [status for status in STATUSES if "archive" in transitions.allowed_actions(status)] == list(STATUSES[:3])


def test_action_is_refused_when_it_is_unknown() -> None:
    with pytest.raises(InvalidActionError):
        transitions.next_status("draft", "explode")


@pytest.mark.parametrize(
    ("facts", "score", "letter"),
    [
        (GradeFacts(), 100.0, "A+"),
        (GradeFacts(retries=1), 95.0, "A+"),
        (GradeFacts(failed_steps=1), 90.0, "A"),
        (GradeFacts(failed_steps=1, retries=1), 85.0, "B+"),
        (GradeFacts(failed_steps=2), 80.0, "B"),
        (GradeFacts(failed_steps=3), 70.0, "C"),
        (GradeFacts(failed_steps=4), 60.0, "D"),
        (GradeFacts(failed_steps=4, retries=1), 55.0, "F"),
        (GradeFacts(failed_steps=50), 0.0, "F"),
        (GradeFacts(worked=timedelta(minutes=9), estimated=timedelta(minutes=10)), 100.0, "A+"),
        (GradeFacts(worked=timedelta(minutes=15), estimated=timedelta(minutes=10)), 90.0, "A"),
        (GradeFacts(worked=timedelta(hours=9), estimated=timedelta(minutes=10)), 80.0, "B"),
        (GradeFacts(worked=timedelta(hours=9)), 100.0, "A+"),
        (GradeFacts(worked=timedelta(hours=9), estimated=timedelta(0)), 100.0, "A+"),
    ],
)
def test_grade_follows_the_rule(facts: GradeFacts, score: float, letter: str) -> None:
    result = grade(facts)
    assert (result.score, result.letter) == (score, letter)


@pytest.mark.parametrize(
    "code",
    [
        "HERA.PUBLICSECTOR.PLAYBOOK.RUN.GRANTS.V1",
        "HERA.HEALTHCARE.PLAYBOOK.RUN.PATIENT_ONBOARD.V1",
        "HERA.FINANCE.PLAYBOOK.RUN.LOAN_APPROVAL.V1",
        "HERA.PUBLICSECTOR.PLAYBOOK.STEP.EXEC.VERIFY_ELIGIBILITY.V1",
        "hera.healthcare.playbook.step.exec.insurance_check.v1",
        "HERA.FINANCE.PLAYBOOK.STEP.EXEC.CREDIT_ASSESSMENT.V1",
    ],
)
def test_code_is_ours_in_every_industry_and_in_any_case(code: str) -> None:
    assert smart_codes.is_valid(code)
    assert smart_codes.parse(code) is not None


@pytest.mark.parametrize(
    "code", ["", "HERA.X.PLAYBOOK.RUN.A.V1", "HERA.FINANCE.RUN.V1", "HERA.FINANCE.PLAYBOOK.RUN.GRANTS"]
)
def test_code_is_refused_when_it_breaks_the_pattern(code: str) -> None:
    assert not smart_codes.is_valid(code)
    assert smart_codes.parse(code) is None


def test_code_is_foreign_when_another_application_made_it() -> None:
    assert smart_codes.is_valid("HERA.FINANCE.GL.ACCOUNT.CASH.V1")
    assert smart_codes.parse("HERA.FINANCE.GL.ACCOUNT.CASH.V1") is None


@given(
    st.from_regex(r"[A-Z][A-Z0-9_]{2,29}", fullmatch=True),
    st.sampled_from(smart_codes.KINDS),
    st.text(max_size=80),
    st.integers(1, 999_999_999),
)
def test_code_fits_the_column_when_names_are_anything(
    industry: str, kind: smart_codes.Kind, name: str, version: int
) -> None:
    code = smart_codes.build(industry, kind, name, version)
    assert smart_codes.is_valid(code)
    parsed = smart_codes.parse(code)
    assert parsed is not None
    assert (parsed.industry, parsed.kind, parsed.version) == (industry, kind, version)


def test_codes_differ_when_long_names_differ_at_the_end() -> None:
    names = ["a" * 50 + end for end in ("x", "y")]
    assert len({smart_codes.run_code("FINANCE", name, 1) for name in names}) == 2


def test_code_is_padded_when_a_name_has_one_letter() -> None:
    assert smart_codes.exec_code("FINANCE", "a", 1) == "HERA.FINANCE.PLAYBOOK.STEP.EXEC.A_.V1"

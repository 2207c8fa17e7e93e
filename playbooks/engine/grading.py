"""The performance grade of a finished run: 100, less 10 per failed step, 5 per retry, and up to 20 for running over
the estimate (waiting for people is not counted).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

FAILED_STEP, RETRY, MOST_FOR_OVERRUN = 10, 5, 20

_LETTERS: tuple[tuple[float, str], ...] = ((95, "A+"), (90, "A"), (85, "B+"), (80, "B"), (70, "C"), (60, "D"))


@dataclass(frozen=True, slots=True, kw_only=True)
class GradeFacts:
    """`worked` is how long the run took without waiting for people; `estimated` covers the same steps, None where
    the playbook says nothing. `retries` are attempts beyond each step's first."""

    failed_steps: int = 0
    retries: int = 0
    worked: timedelta = timedelta(0)
    estimated: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PerformanceGrade:
    """`score` from 0 to 100 with one decimal; `letter` A+, A, B+, B, C, D or F."""

    score: float
    letter: str


def grade(facts: GradeFacts) -> PerformanceGrade:
    """Return the grade. Running over costs in proportion: twice the estimate or more costs all 20 points."""
    lost = facts.failed_steps * FAILED_STEP + facts.retries * RETRY + _overrun(facts)
    score = round(max(0.0, 100.0 - lost), 1)
    letter = next((letter for least, letter in _LETTERS if score >= least), "F")
    return PerformanceGrade(score=score, letter=letter)


def _overrun(facts: GradeFacts) -> float:
    if not facts.estimated or facts.worked <= facts.estimated:
        return 0.0
    return min(float(MOST_FOR_OVERRUN), MOST_FOR_OVERRUN * (facts.worked / facts.estimated - 1))

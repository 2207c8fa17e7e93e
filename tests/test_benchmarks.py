"""The page of figures: a job's new ones replace its old ones, and nobody else's."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import report
from benchmarks.report import Figure, percentile, side_of, write


def _figure(job: str, ours: float, yard: float) -> Figure:
    return Figure(job=job, unit="ms", ours=side_of([ours]), yard=side_of([yard]), at_most=1.3)


def test_page_keeps_the_figures_of_other_jobs_when_one_is_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{report.BEGIN}\n{report.END}\nafter\n")
    monkeypatch.setattr(report, "PAGE", page)
    write([_figure("J1 pure", 2, 1), _figure("J4 pure", 5, 1)], "full")
    write([_figure("J1 pure", 1.2, 1)], "full")
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert [line.split("|")[1:5] for line in text.splitlines() if line.startswith("| J")] == [
        [" J1 pure ", " 1.20 ms ", " 1.00 ", " 1.20 "],
        [" J4 pure ", " 5.00 ms ", " 1.00 ", " 5.00 "],
    ]
    assert sum(line.startswith("- J") for line in text.splitlines()) in (1, 2)


def test_target_is_missed_when_the_ratio_is_above_it() -> None:
    assert _figure("J1", 1.3, 1).is_met
    assert not _figure("J1", 1.31, 1).is_met
    assert Figure(job="J1", unit="ms", ours=side_of([1.0])).is_met is None


def test_percentile_is_the_nearest_rank() -> None:
    assert [percentile(range(1, 101), share) for share in (50, 95, 99, 100)] == [50, 95, 99, 100]
    assert percentile([], 50) == 0

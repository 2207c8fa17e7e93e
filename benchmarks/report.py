"""Figures, the table that is printed, and the block of `docs/performance.md` that holds the last ones."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


@dataclass(frozen=True, kw_only=True)
class Side:
    """Figures of one side over the rounds, and the processor seconds of each process, as medians."""

    values: tuple[float, ...]
    cpu: dict[str, float] = field(default_factory=dict[str, float])

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def text(self) -> str:
        if len(self.values) == 1:
            return _number(self.median)
        return f"{_number(self.median)} ({_number(min(self.values))} to {_number(max(self.values))})"


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One line of the table: a ratio to a yardstick with its bound, or a value with its limit."""

    job: str
    unit: str
    ours: Side
    yard: Side | None = None
    at_most: float | None = None
    at_least: float | None = None
    limit: float | None = None

    @property
    def ratio(self) -> float | None:
        return None if self.yard is None or not self.yard.median else self.ours.median / self.yard.median

    @property
    def target(self) -> str:
        if self.at_most is not None:
            return f"at most {self.at_most} times"
        if self.at_least is not None:
            return f"at least {self.at_least} times"
        return "" if self.limit is None else f"at most {self.limit:g} {self.unit}"

    @property
    def is_met(self) -> bool | None:
        """None where there is no target."""
        if self.at_most is not None and self.ratio is not None:
            return self.ratio <= self.at_most
        if self.at_least is not None and self.ratio is not None:
            return self.ratio >= self.at_least
        return None if self.limit is None else self.ours.median <= self.limit


def side_of(values: Sequence[float], cpu: Sequence[dict[str, float]] = ()) -> Side:
    names = cpu[0] if cpu else {}
    return Side(values=tuple(values), cpu={name: statistics.median(used[name] for used in cpu) for name in names})


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` percent do not exceed (nearest rank). 0 where there is none."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * share // 100).__int__() - 1)] if ordered else 0.0


def table(figures: Sequence[Figure]) -> str:
    """The figures as a Markdown table."""
    lines = [
        "| job | ours | yardstick | ratio | target | met | CPU seconds of ours | of the yardstick |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for figure in figures:
        ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}"
        met = {True: "yes", False: "**no**", None: ""}[figure.is_met]
        yard = "" if figure.yard is None else figure.yard.text
        used = [_used(side.cpu) if side else "" for side in (figure.ours, figure.yard)]
        cells = [figure.job, f"{figure.ours.text} {figure.unit}", yard, ratio, figure.target, met, *used]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _used(cpu: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.1f}" for name, value in cpu.items() if value >= 0.05)


def write(figures: Sequence[Figure], size: str) -> None:
    """Put the figures into the page in place of older ones of the same jobs, with when and where they were measured."""
    before, rest = PAGE.read_text().split(BEGIN)
    block, after = rest.split(END)
    measured, rows = _read(block)
    packages = ", ".join(f"{name} {version(name)}" for name in ("temporalio", "sqlalchemy", "fastapi"))
    when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M")
    how = f"{when} UTC, size `{size}`, {os.cpu_count()} cores, Python {platform.python_version()}, {packages}."
    heading, new = table(figures).split("\n")[:2], table(figures).split("\n")[2:]
    names = {_job_of(row) for row in new}
    measured |= dict.fromkeys(names, how)
    rows = sorted([*(row for row in rows if _job_of(row) not in names), *new], key=_job_of)
    notes = [
        f"- {', '.join(sorted(job for job in measured if measured[job] == how))}: {how}" for how in _once(measured)
    ]
    PAGE.write_text(before + "\n".join([BEGIN, *notes, "", *heading, *rows, END]) + after)


def _read(block: str) -> tuple[dict[str, str], list[str]]:
    """When each job was measured, and the rows of the table that is there."""
    measured: dict[str, str] = {}
    rows: list[str] = []
    for line in block.split("\n"):
        if line.startswith("- J"):
            jobs, _, how = line[2:].partition(": ")
            measured |= dict.fromkeys(jobs.split(", "), how)
        elif line.startswith("| J"):
            rows.append(line)
    return measured, rows


def _job_of(row: str) -> str:
    """`J1` of a row of the table."""
    return row[2:].split(maxsplit=1)[0]


def _once(measured: dict[str, str]) -> list[str]:
    return sorted(set(measured.values()), reverse=True)


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"

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
    """What one side measured over the rounds, and the processor seconds of each process, as medians."""

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
    """Put the table into the page, with when and where it was measured."""
    text = PAGE.read_text()
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    packages = ", ".join(f"{name} {version(name)}" for name in ("temporalio", "sqlalchemy", "fastapi"))
    when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M")
    head = (
        f"Measured {when} UTC, size `{size}`, {os.cpu_count()} cores, Python {platform.python_version()}, {packages}."
    )
    PAGE.write_text(f"{before}{BEGIN}\n{head}\n\n{table(figures)}\n{END}{after}")


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"

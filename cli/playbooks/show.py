"""Output of the commands for playbook files: results on stdout, problems on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from playbooks.common.errors import Problem


def write_json(value: Any) -> None:
    """Print one JSON object on stdout, for machines."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def print_line(line: str) -> None:
    """Print one line on stdout, for people."""
    sys.stdout.write(f"{line}\n")


def print_problems(path: Path, problems: Iterable[Problem]) -> None:
    """Print each problem of a file on stderr: place, severity, code, message, suggestion."""
    for problem in problems:
        hint = f" ({problem.suggestion})" if problem.suggestion else ""
        place = problem.pointer or "/"
        sys.stderr.write(f"{path}: {problem.severity} {problem.code} at {place}: {problem.message}{hint}\n")


def as_data(problem: Problem) -> dict[str, str]:
    """Return a problem for machines."""
    found = {"pointer": problem.pointer, "code": problem.code, "message": problem.message}
    return found | ({"suggestion": problem.suggestion} if problem.suggestion else {})

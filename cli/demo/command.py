"""`playbook demo`: the stack, the grants example, and its result. The exit code is 0 only when the run completed."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

import httpx2
from rich.console import Console

from cli.demo import show
from cli.demo.play import DemoFailedError, Person, Play
from cli.dev.command import report
from cli.dev.folder import StackFolder
from cli.dev.interrupts import StopRequested, stop_requests_raised
from cli.dev.stack import DEMO_ORGANIZATION, Stack, StackOptions, running_stack, supervise
from cli.rest import Api, ApiProblemError, Data
from cli.settings import client_settings
from playbooks.common.errors import NotFoundError
from runtime.tokens import issue_token
from storage.identity.organizations import find_organization

_INTERRUPTED = 130
_FILE_COLUMNS = 150


@dataclass(frozen=True, slots=True)
class _Stage:
    """The stack that the demo uses: its own, or one that was running already (`stack` is None)."""

    description: Data
    stack: Stack | None


def run_demo(options: StackOptions) -> int:
    """Run the demo. At a terminal the stack then stays until Ctrl-C. 1 when the run did not complete."""
    is_at_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    console = Console(width=None if sys.stdout.isatty() else _FILE_COLUMNS)
    code = _INTERRUPTED
    with stop_requests_raised():
        try:
            with _stage(options) as stage:
                code = _play(stage, options, console)
                if stage.stack is not None and is_at_terminal:
                    report("The stack keeps running. Ctrl-C stops everything.")
                    supervise(stage.stack, report)
                elif stage.stack is not None:
                    report(f"To look around: playbook dev --data-dir {stage.stack.folder.root}")
        except StopRequested:
            report("stopped")
    return code


@contextmanager
def _stage(options: StackOptions) -> Generator[_Stage]:
    folder = StackFolder.at(options.data_dir)
    running = folder.read_description() if folder.is_locked() and not options.is_fresh else None
    if running is not None:
        report(f"using the stack that is running on {folder.root}")
        yield _Stage(running, None)
        return
    with running_stack(options, report) as stack:
        yield _Stage(stack.describe(), stack)


def _play(stage: _Stage, options: StackOptions, console: Console) -> int:
    settings = client_settings(options.data_dir)
    secret = settings.jwt_secret.get_secret_value() if settings.jwt_secret else ""
    organization_id = asyncio.run(_organization(settings.needed("admin_database_url")))
    api_url = str(stage.description["api_url"])

    def sign_in(person: Person) -> Api:
        roles = (person.role,)
        return Api(api_url, issue_token(secret, organization_id=organization_id, subject=person.user, roles=roles))

    try:
        run = Play(sign_in, lambda line: console.print(line, markup=False, highlight=False, soft_wrap=True)).perform()
    except (DemoFailedError, ApiProblemError, httpx2.HTTPError) as error:
        report(f"the demo failed: {error}")
        return 1
    execution_id = UUID(str(run["execution_id"]))
    show.show_result(console, run)
    asyncio.run(show.show_rows(console, settings.needed("database_url"), organization_id, execution_id))
    show.show_links(console, stage.description, organization_id, execution_id)
    report(json.dumps({"execution_id": str(execution_id), "status": run["status"]}))
    return 0


async def _organization(admin_url: str) -> UUID:
    row = await find_organization(admin_url, DEMO_ORGANIZATION)
    if row is None:
        raise NotFoundError(f"there is no organization '{DEMO_ORGANIZATION}'")
    return row.id

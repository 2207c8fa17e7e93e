"""The command `playbook`.

Imports nothing heavy before a command is chosen: commands for people start fast and never load Temporal's SDK.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from cli.account import Account

app = App(name="playbook", help="Run business playbooks: documents whose steps people, systems and AI do.")
database_app = App(name="db", help="The database.")
organization_app = App(name="org", help="Organizations.")
playbooks_app = App(name="playbooks", help="Playbooks as files: check them, send them, fetch them, compare them.")
app.command(database_app)
app.command(organization_app)
app.command(playbooks_app)

DataDir = Annotated[Path | None, Parameter(name="--data-dir", help="Data folder of a `playbook dev` stack.")]
Port = Annotated[int | None, Parameter(help="Default 8000; any free port where that is taken. 0: any free port.")]
TemporalPort = Annotated[int | None, Parameter(help="Default 7233, likewise.")]
UiPort = Annotated[int | None, Parameter(help="Default 8233, likewise.")]
Fresh = Annotated[bool, Parameter(negative="", help="Delete everything in the data folder first.")]
Json = Annotated[bool, Parameter(negative="", help="Print the result as one JSON object.")]
Org = Annotated[str, Parameter(help="The organization, where PLAYBOOK_TOKEN is not set.")]
User = Annotated[str | None, Parameter(help="The person, where PLAYBOOK_TOKEN is not set. Default: the login name.")]


@app.command
def dev(
    *,
    data_dir: DataDir = None,
    port: Port = None,
    temporal_port: TemporalPort = None,
    ui_port: UiPort = None,
    fresh: Fresh = False,
) -> int:
    """Start everything on this machine and wait for Ctrl-C."""
    from cli.dev.command import run_dev, stack_options

    return run_dev(stack_options(data_dir, port, temporal_port, ui_port, is_fresh=fresh))


@app.command
def demo(
    *,
    data_dir: DataDir = None,
    port: Port = None,
    temporal_port: TemporalPort = None,
    ui_port: UiPort = None,
    fresh: Fresh = False,
) -> int:
    """Start everything and run the grants example to its end, with three approvers."""
    from cli.demo.command import run_demo
    from cli.dev.command import stack_options

    return run_demo(stack_options(data_dir, port, temporal_port, ui_port, is_fresh=fresh))


@app.command
def api(*, host: str = "127.0.0.1", port: int = 8000, data_dir: DataDir = None) -> int:
    """Serve the REST API."""
    from cli.api import run_api
    from cli.settings import process_settings

    return run_api(process_settings(data_dir), host=host, port=port)


@app.command
def worker(*, data_dir: DataDir = None, ready_file: Path | None = None) -> int:
    """Run workflows and activities. `--ready-file` is made when the worker is taking work."""
    from cli.settings import process_settings
    from cli.worker import run_worker

    return run_worker(process_settings(data_dir), ready_file)


@database_app.command
def upgrade(*, data_dir: DataDir = None) -> int:
    """Create or extend the tables, roles and policies (PLAYBOOK_ADMIN_DATABASE_URL)."""
    from cli.administration import upgrade_database

    return upgrade_database(data_dir)


@organization_app.command
def create(*, code: str, name: str, data_dir: DataDir = None) -> int:
    """Make an organization and print its id."""
    from cli.administration import create_organization

    return create_organization(data_dir, code=code, name=name)


@app.command
def token(*, org: str, user: str, roles: str = "", permissions: str | None = None, data_dir: DataDir = None) -> int:
    """Print a bearer token (roles and permissions: comma separated; by default all but playbooks:admin)."""
    from cli.administration import print_token

    return print_token(data_dir, org=org, user=user, roles=roles, permissions=permissions)


@app.command
def doctor(
    *,
    org: str | None = None,
    run: str | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
    older_than: float = 5.0,
    data_dir: DataDir = None,
) -> int:
    """Compare Temporal's histories with the rows; 0 clean, 1 differences, 2 failed. Changes nothing.

    Runs that changed in the last `--older-than` seconds are left out.
    """
    from cli.doctor import run_doctor

    return run_doctor(data_dir, org=org, run=run, as_json=json, older_than=older_than)


@playbooks_app.command
def validate(*paths: Path, json: Json = False) -> int:
    """Check playbook files (JSON or YAML; a folder: its *.playbook.json|yaml|yml), without a server.

    0: they can be published; 1: they have errors.
    """
    from cli.playbooks.validate import run_validate

    return run_validate(paths, as_json=json)


@playbooks_app.command
def push(
    *paths: Path,
    publish: Annotated[bool, Parameter(negative="", help="Publish the playbooks that were sent.")] = False,
    json: Json = False,
    org: Org = "demo",
    user: User = None,
    data_dir: DataDir = None,
) -> int:
    """Send playbook files: a new playbook, a changed draft, or the next version. 1: refused."""
    from cli.playbooks.push import run_push

    return run_push(paths, Account(data_dir, org, user), publishes=publish, as_json=json)


@playbooks_app.command
def pull(
    code: str,
    *,
    version: int | None = None,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"], help="A .json, .yaml or .yml file.")] = None,
    json: Json = False,
    org: Org = "demo",
    user: User = None,
    data_dir: DataDir = None,
) -> int:
    """Fetch a playbook's document: the newest version, or the one named; to a file, or to stdout as JSON."""
    from cli.playbooks.pull import run_pull

    return run_pull(code, Account(data_dir, org, user), version=version, output=output, as_json=json)


@playbooks_app.command
def diff(
    file: Path,
    *,
    version: int | None = None,
    json: Json = False,
    org: Org = "demo",
    user: User = None,
    data_dir: DataDir = None,
) -> int:
    """Compare a file with the stored document (the newest version, or the one named). 0: the same; 1: they differ."""
    from cli.playbooks.diff import run_diff

    return run_diff(file, Account(data_dir, org, user), version=version, as_json=json)


def main() -> None:
    """The program's entry point; exits with the command's code."""
    from cli.failures import explained

    sys.exit(explained(lambda: app(result_action="return_value", exit_on_error=False)))


if __name__ == "__main__":
    main()
